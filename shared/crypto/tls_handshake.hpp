// TLS as the message bus wants it of Paho, done once more by ourselves: to see before the start that the files are
// sound, and to say in words why a connection failed, which Paho can't. Decides nothing: what connects is Paho, and it
// verifies for itself. Thread-safe.
#pragma once

#include "shared/broker_settings.hpp"

#include <optional>
#include <string>

namespace pulsemeter::crypto {

// For OpenSSL's SSL_CTX_set_cipher_list, the one thing that Paho lets us choose: ciphers that only TLS 1.2 and newer
// have, so that nothing older can be agreed on whatever the machine's openssl.cnf says (its security levels do not see to
// that in OpenSSL 3.0); no key below 112 bits.
inline constexpr const char* tls_ciphers = "HIGH+TLSv1.2:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=2";

// UsageError that names the key of [broker], the file and the remedy.
void check_tls_files(const TlsFiles& files);

// Shakes hands on a connected TCP socket that has time-outs, sends nothing else, and says what is wrong and what to do;
// nothing if all is well. Blocks as long as the socket may.
[[nodiscard]] std::optional<std::string> why_tls_fails(int socket, const BrokerSettings& broker);

} // namespace pulsemeter::crypto
