// Who made a bundle: an ed25519 signature of its manifest, as edge_seg/bundles/sign.py writes it (signature.json).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edge_seg {

enum class Signed { kNot, kKeyUnknown, kTrusted };

// Checks signature.json in the folder `bundle` against the manifest's bytes. `keys` are files with the public keys that
// are trusted, as PEM; without any, a bundle without a signature passes.
// Throws Error: signature-invalid for a signature that is wrong, unsigned or wrong-key where there are trusted keys,
// key-invalid for a file without keys.
Signed check_signature(const std::string& bundle, const std::vector<uint8_t>& manifest,
                       const std::vector<std::string>& keys);

// The files NAME.pub that this machine trusts, as edge_seg/trust.py: in ~/.config/edge-seg/trusted-keys and
// /etc/edge-seg/trusted-keys.
std::vector<std::string> trusted_keys();

// "none", "key unknown", "trusted".
const char* name_of(Signed state);

}  // namespace edge_seg
