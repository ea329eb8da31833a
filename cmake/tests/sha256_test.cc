// The examples of FIPS 180-4, and lengths around the block's.
#include "core/sha256.h"

#include <doctest/doctest.h>

using edge_seg::Sha256;

namespace {

std::string digest(const std::string& text, bool plain = false) {
    Sha256 sha(plain);
    sha.update(text.data(), text.size());
    return sha.hex();
}

}  // namespace

TEST_CASE("published examples") {
    CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(digest(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("with and without the processor's own instructions") {
    std::string text;
    for (int i = 0; i < 1000; ++i) {
        CHECK(digest(text) == digest(text, true));
        text += static_cast<char>(i * 7);
    }
}

TEST_CASE("pieces of any length add up to the whole") {
    const std::string text(300, 'x');
    for (size_t piece = 1; piece < 130; ++piece) {
        Sha256 sha;
        for (size_t at = 0; at < text.size(); at += piece) sha.update(&text[at], std::min(piece, text.size() - at));
        CHECK(sha.hex() == digest(text));
    }
}
