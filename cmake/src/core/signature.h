// Who made a bundle: an ed25519 signature of its manifest, as edge_seg/bundles/sign.py writes it (signature.json).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edge_seg {

enum class Signed { kNot, kKeyUnknown, kTrusted };

// Checks signature.json in the folder `bundle` against the manifest's bytes. `keys` is a file with the public keys that
// are trusted, as PEM; "" trusts none in particular, and a bundle without a signature passes then.
// Throws Error: signature-invalid for a signature that is wrong, unsigned or wrong-key where a trusted one is asked
// for, key-invalid for a file without keys.
Signed check_signature(const std::string& bundle, const std::vector<uint8_t>& manifest, const std::string& keys);

// "none", "key unknown", "trusted".
const char* name_of(Signed state);

}  // namespace edge_seg
