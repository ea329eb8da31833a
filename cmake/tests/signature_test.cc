#include "core/signature.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "bundle_folder.h"
#include "core/bundle.h"
#include "core/error.h"
#include "core/file.h"
#include "core/limits.h"

using namespace edge_seg;

namespace {

// RFC 8032, section 7.1, test 3: the message af82, its key and signature.
constexpr char kKey[] = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
constexpr char kSignature[] =
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
// As `openssl pkey -pubin -inform DER` writes that key, and another one.
constexpr char kPem[] =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=\n"
    "-----END PUBLIC KEY-----\n";
constexpr char kOtherPem[] =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"
    "-----END PUBLIC KEY-----\n";

struct Folder : BundleFolder {
    std::vector<uint8_t> message{0xaf, 0x82};

    void sign(const Json& changes = Json::object()) {
        Json plain = {{"algorithm", "ed25519"}, {"public_key", kKey}, {"signature", kSignature}};
        plain.update(changes);
        write("signature.json", plain.dump());
    }
    std::string refusal(const std::string& keys = "") const {
        const std::vector<std::string> files = keys.empty() ? std::vector<std::string>() : std::vector{keys};
        try {
            return name_of(check_signature(path(), message, files));
        } catch (const Error& problem) {
            CHECK_FALSE(problem.remedy.empty());
            return problem.code;
        }
    }
};

}  // namespace

TEST_CASE("a signature is checked with and without a trusted key") {
    Folder folder;
    folder.write("keys", std::string(kOtherPem) + kPem);
    folder.write("other", kOtherPem);
    const std::string keys = folder.path() + "/keys", other = folder.path() + "/other";
    CHECK(folder.refusal() == "none");
    CHECK(folder.refusal(keys) == "unsigned");
    folder.sign();
    CHECK(folder.refusal() == "key unknown");
    CHECK(folder.refusal(keys) == "trusted");
    CHECK(folder.refusal(other) == "wrong-key");
    folder.message.push_back(0);
    CHECK(folder.refusal() == "signature-invalid");
    CHECK(folder.refusal(keys) == "signature-invalid");
}

TEST_CASE("keys that the user trusts") {
    Folder folder;
    const char* const before = std::getenv("XDG_CONFIG_HOME");
    const std::string kept = before == nullptr ? "" : before;
    setenv("XDG_CONFIG_HOME", folder.path().c_str(), 1);
    CHECK(trusted_keys().empty());
    const std::string place = "edge-seg/trusted-keys/";
    for (const char* name : {"b.pub", "a.pub", "notes"}) folder.write(place + name, kPem);
    const std::string found = folder.path() + "/" + place;
    CHECK(trusted_keys() == std::vector<std::string>{found + "a.pub", found + "b.pub"});
    before == nullptr ? unsetenv("XDG_CONFIG_HOME") : setenv("XDG_CONFIG_HOME", kept.c_str(), 1);
}

TEST_CASE("a signature that is none") {
    Folder folder;
    const std::string zeros(128, '0');
    for (const Json& changes : {Json{{"signature", zeros}}, Json{{"signature", "00"}}, Json{{"signature", 7}},
                                Json{{"public_key", std::string(64, 'z')}}, Json{{"algorithm", "rsa"}},
                                Json{{"manifest_sha256", std::string(64, '0')}}, Json{{"more", 1}}}) {
        folder.sign(changes);
        CHECK(folder.refusal() == "signature-invalid");
    }
}

TEST_CASE("files without a key") {
    Folder folder;
    folder.sign();
    CHECK(folder.refusal(folder.path() + "/none") == "key-invalid");
    CHECK(folder.refusal(folder.path()) == "key-invalid");
    const std::string pem = kPem;
    for (const std::string& text : {std::string(), std::string("no key"), pem.substr(0, 60), pem.substr(0, 40) + pem}) {
        folder.write("keys", text);
        CHECK(folder.refusal(folder.path() + "/keys") == "key-invalid");
    }
}
