// TLS as the message bus wants it of Paho, done once more by ourselves: to see before the start that the files are
// sound, and to say in words why a connection failed, which Paho can't. Decides nothing: what connects is Paho, and it
// verifies for itself. Thread-safe.
#pragma once

#include "shared/broker_settings.hpp"

#include <optional>
#include <string>

namespace pulsemeter::crypto {

// For OpenSSL's SSL_CTX_set_cipher_list. The security level does what matters: nothing older than TLS 1.2, no key
// below 112 bits, no SHA-1 in a signature, whatever the machine's openssl.cnf says.
inline constexpr const char* tls_ciphers = "DEFAULT:@SECLEVEL=2";

// UsageError that names the key of [broker], the file and the remedy.
void check_tls_files(const TlsFiles& files);

// Shakes hands on a connected TCP socket that has time-outs, sends nothing else, and says what is wrong and what to do;
// nothing if all is well. Blocks as long as the socket may.
[[nodiscard]] std::optional<std::string> why_tls_fails(int socket, const BrokerSettings& broker);

} // namespace pulsemeter::crypto
