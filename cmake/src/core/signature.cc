#include "core/signature.h"

#include <nlohmann/json.hpp>

#include <sodium.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <set>
#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "core/json_fields.h"
#include "core/limits.h"
#include "core/sha256.h"
#include "core/user_folder.h"

namespace edge_seg {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "signature.json", kAlgorithm[] = "ed25519";
constexpr char kRemedy[] = "get the bundle again from its maker; if it is yours, sign it again";
constexpr char kBegin[] = "-----BEGIN PUBLIC KEY-----", kEnd[] = "-----END PUBLIC KEY-----";
// Before the key itself stands, in DER: a sequence with ed25519's identifier and a string of 32 bytes (RFC 8410).
constexpr std::array<uint8_t, 12> kKeyBegin = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

using Key = std::array<uint8_t, crypto_sign_PUBLICKEYBYTES>;
using SignatureBytes = std::array<uint8_t, crypto_sign_BYTES>;

struct Signature {
    Key key{};
    SignatureBytes bytes{};
    std::string manifest_sha256;  // "" in those of older versions
};

Error invalid(const std::string& message) {
    return Error("signature-invalid", message, kRemedy);
}

template <size_t size>
std::array<uint8_t, size> bytes_of(const std::string& hex, const std::string& where) {
    std::array<uint8_t, size> bytes{};
    const bool lower = std::none_of(hex.begin(), hex.end(), [](char c) { return c >= 'A' && c <= 'F'; });
    size_t written = 0;
    if (hex.size() != 2 * size || !lower ||
        sodium_hex2bin(bytes.data(), size, hex.data(), hex.size(), nullptr, &written, nullptr) != 0 ||
        written != size) {
        throw invalid(where + ": expected " + std::to_string(2 * size) + " hexadecimal digits");
    }
    return bytes;
}

Signature read_signature(const std::string& file) {
    std::error_code problem;
    if (fs::symlink_status(file, problem).type() != fs::file_type::regular) throw invalid(file + ": not a plain file");
    Signature signature;
    try {
        const Json plain = parse_json(read_file(file, kJsonBytes), file, "signature-invalid");
        Fields fields(plain, file + ": signature");
        if (fields.text("algorithm") != kAlgorithm) {
            throw invalid(file + ": signature.algorithm: expected " + kAlgorithm);
        }
        signature.key = bytes_of<crypto_sign_PUBLICKEYBYTES>(fields.text("public_key"), fields.where("public_key"));
        signature.bytes = bytes_of<crypto_sign_BYTES>(fields.text("signature"), fields.where("signature"));
        if (fields.has("manifest_sha256") && !fields.any("manifest_sha256").is_null()) {
            signature.manifest_sha256 = fields.text("manifest_sha256");
        }
        fields.refuse_others();
    } catch (const Error& wrong) {  // a field that is missing or of another type
        throw invalid(wrong.what());
    } catch (const std::system_error& failure) {
        throw invalid(file + ": can't be read: " + reason_of(failure, kJsonBytes));
    }
    return signature;
}

std::set<Key> read_keys(const std::string& file) {
    const auto fail = [&file](const std::string& why) {
        return Error("key-invalid", file + ": " + why,
                     "give an ed25519 public key as PEM, such as the .pub file of `edge-seg bundle keygen`", 2);
    };
    std::vector<uint8_t> content;
    try {
        content = read_file(file, kTextFileBytes);
    } catch (const std::system_error& problem) {
        throw fail("can't be read: " + reason_of(problem, kTextFileBytes));
    }
    const std::string text(content.begin(), content.end());
    std::set<Key> keys;
    for (size_t at = 0; (at = text.find(kBegin, at)) != std::string::npos;) {
        at += std::size(kBegin) - 1;
        const size_t end = text.find(kEnd, at);
        std::array<uint8_t, kKeyBegin.size() + std::tuple_size<Key>::value> der{};
        size_t written = 0;
        if (end == std::string::npos ||
            sodium_base642bin(der.data(), der.size(), &text[at], end - at, " \r\n\t", &written, nullptr,
                              sodium_base64_VARIANT_ORIGINAL) != 0 ||
            written != der.size() || !std::equal(kKeyBegin.begin(), kKeyBegin.end(), der.begin())) {
            throw fail("holds a public key that isn't ed25519, or is damaged");
        }
        Key key;
        std::copy(der.begin() + kKeyBegin.size(), der.end(), key.begin());
        keys.insert(key);
    }
    if (keys.empty()) throw fail("holds no public key");
    return keys;
}

std::string shortened(const Key& key) {
    std::string text(2 * key.size() + 1, '\0');
    sodium_bin2hex(text.data(), text.size(), key.data(), key.size());
    return text.substr(0, 16) + "…";
}

std::string hash_of(const std::vector<uint8_t>& content) {
    Sha256 digest;
    digest.update(content.data(), content.size());
    return digest.hex();
}

}  // namespace

Signed check_signature(const std::string& bundle, const std::vector<uint8_t>& manifest,
                       const std::vector<std::string>& keys) {
    if (sodium_init() < 0) throw std::system_error(ENOSYS, std::generic_category(), "libsodium");
    std::set<Key> trusted;
    std::string named;
    for (const std::string& key_file : keys) {
        trusted.merge(read_keys(key_file));
        named += (named.empty() ? "" : ", ") + key_file;
    }
    const std::string file = bundle + "/" + kFile;
    std::error_code problem;
    if (fs::symlink_status(file, problem).type() == fs::file_type::not_found) {
        if (keys.empty()) return Signed::kNot;
        throw Error("unsigned",
                    bundle + ": not signed, and only what is signed with a trusted key may run here (" + named + ")",
                    "ask its maker for a signed one, or sign it yourself with `edge-seg bundle sign`");
    }
    const Signature signature = read_signature(file);
    if (!keys.empty() && trusted.count(signature.key) == 0) {
        throw Error("wrong-key",
                    bundle + ": signed with the key " + shortened(signature.key) +
                        ", expected one that is trusted here (" + named + ")",
                    "somebody else signed it: if you trust them, name their public key with --public-key");
    }
    const bool same = signature.manifest_sha256.empty() || signature.manifest_sha256 == hash_of(manifest);
    if (!same || crypto_sign_verify_detached(signature.bytes.data(), manifest.data(), manifest.size(),
                                             signature.key.data()) != 0) {
        throw invalid(bundle + ": not what was signed, or not with the key that its " + kFile + " names");
    }
    return keys.empty() ? Signed::kKeyUnknown : Signed::kTrusted;
}

std::vector<std::string> trusted_keys() {
    std::vector<std::string> files;
    for (const std::string& base : {user_folder("XDG_CONFIG_HOME", ".config"), std::string("/etc")}) {
        if (base.empty()) continue;
        std::error_code problem;
        const fs::path folder = fs::path(base) / "edge-seg" / "trusted-keys";
        for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
            const std::string file = entry->path().string();
            if (file.size() > 4 && file.compare(file.size() - 4, 4, ".pub") == 0) files.push_back(file);
        }
        if (!problem) continue;
        // What can't be read must not let anything pass: a link to nowhere, or a file, was meant to be a folder of
        // keys.
        std::error_code ignored;
        const bool missing = problem == std::errc::no_such_file_or_directory || problem == std::errc::not_a_directory;
        if (!missing || fs::exists(fs::symlink_status(folder, ignored))) {
            throw Error("key-invalid", folder.string() + ": can't be read: " + problem.message(),
                        "make it a readable folder, or remove it to trust no keys in particular", 2);
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

const char* name_of(Signed state) {
    return state == Signed::kNot ? "none" : state == Signed::kTrusted ? "trusted" : "key unknown";
}

}  // namespace edge_seg
