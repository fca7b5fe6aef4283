#include "shared/crypto/tls_handshake.hpp"

#include "shared/crypto/openssl.hpp"
#include "shared/files.hpp"

#include <fmt/core.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <regex>

namespace pulsemeter::crypto {
namespace {

using TlsContext = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;
using Tls = std::unique_ptr<SSL, OpensslFree<SSL_free>>;
using Certificate = std::unique_ptr<X509, OpensslFree<X509_free>>;
using Memory = std::unique_ptr<BIO, OpensslFree<BIO_free>>;

[[noreturn]] void refuse(const char* key, const std::filesystem::path& path, std::string_view what)
{
    ERR_clear_error();
    throw UsageError(fmt::format("{} in [broker]: {}: {}", key, path.string(), what));
}

// What `openssl rehash` names certificates by; OpenSSL opens no other file of a folder.
bool has_hashed_name(const std::filesystem::path& folder)
{
    static const std::regex hashed("[0-9a-f]{8}\\.[0-9]+");
    return std::any_of(
        std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator(),
        [](const auto& entry) { return std::regex_match(entry.path().filename().string(), hashed); });
}

void trust(SSL_CTX& context, const TlsFiles& files)
{
    if (!files.ca_file.empty()) {
        try {
            (void)read_file(files.ca_file);
        } catch (const UsageError& error) {
            throw UsageError(fmt::format("ca_file in [broker]: {}", error.what()));
        }
        if (SSL_CTX_load_verify_locations(&context, files.ca_file.c_str(), nullptr) != 1) {
            refuse("ca_file", files.ca_file,
                   "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
        }
    } else if (!files.ca_folder.empty()) {
        std::error_code error;
        if (!std::filesystem::is_directory(files.ca_folder, error)) {
            refuse("ca_folder", files.ca_folder,
                   error ? error.message() : "is no folder; a file is a ca_file");
        }
        if (!has_hashed_name(files.ca_folder)) {
            refuse("ca_folder", files.ca_folder,
                   fmt::format("holds no certificate that OpenSSL could find by its name: openssl rehash {}",
                               files.ca_folder.string()));
        }
        require(SSL_CTX_load_verify_locations(&context, nullptr, files.ca_folder.c_str()),
                "taking a CA folder");
    } else {
        require(SSL_CTX_set_default_verify_paths(&context), "taking the system's CAs");
    }
}

// A passphrase is never asked for: nobody would be there to type it.
int no_passphrase(char*, int, int, void*)
{
    return 0;
}

void introduce_us(SSL_CTX& context, const TlsFiles& files)
{
    if (files.client_cert.empty())
        return;
    try {
        (void)read_file(files.client_cert);
    } catch (const UsageError& error) {
        throw UsageError(fmt::format("client_cert in [broker]: {}", error.what()));
    }
    try {
        std::string key = read_secret_file(files.client_key);
        OPENSSL_cleanse(key.data(), key.size());
    } catch (const UsageError& error) {
        throw UsageError(fmt::format("client_key in [broker]: {}", error.what()));
    }
    SSL_CTX_set_default_passwd_cb(&context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(&context, files.client_cert.c_str()) != 1) {
        refuse("client_cert", files.client_cert,
               "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
    }
    if (SSL_CTX_use_PrivateKey_file(&context, files.client_key.c_str(), SSL_FILETYPE_PEM) != 1) {
        const bool another = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
        refuse("client_key", files.client_key,
               another
                   ? fmt::format("is not the key of {}", files.client_cert.string())
                   : std::string("holds no private key in PEM form, or one under a passphrase (openssl pkey "
                                 "writes it without)"));
    }
}

TlsContext context_of(const TlsFiles& files)
{
    TlsContext context = required(TlsContext(SSL_CTX_new(TLS_client_method())), "SSL_CTX_new");
    require(SSL_CTX_set_cipher_list(context.get(), tls_ciphers), "choosing ciphers");
    trust(*context, files);
    introduce_us(*context, files);
    return context;
}

// Of a certificate that nobody has vouched for: what may be said of it on one line.
std::string harmless(std::string text)
{
    constexpr std::size_t longest = 120;
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    if (text.size() > longest)
        text = text.substr(0, longest) + " ...";
    return text;
}

std::string text_of(const X509_NAME* name)
{
    const Memory memory = required(Memory(BIO_new(BIO_s_mem())), "BIO_new");
    X509_NAME_print_ex(memory.get(), name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &data);
    return harmless(std::string(data, static_cast<std::size_t>(std::max(0L, size))));
}

std::string date_of(const ASN1_TIME* time)
{
    std::tm parts{};
    std::array<char, 32> text{};
    if (ASN1_TIME_to_tm(time, &parts) != 1)
        return "a time unknown";
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts)};
}

std::string today()
{
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    std::array<char, 32> text{};
    ::gmtime_r(&now, &parts);
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts)};
}

std::string names_of(const X509& certificate)
{
    std::string names;
    auto* alternatives =
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int at = 0; at < sk_GENERAL_NAME_num(alternatives); ++at) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives, at);
        std::string text;
        if (name->type == GEN_DNS) {
            text.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                        static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
        } else if (name->type == GEN_IPADD && ASN1_STRING_length(name->d.iPAddress) == 4) {
            const unsigned char* byte = ASN1_STRING_get0_data(name->d.iPAddress);
            text = fmt::format("{}.{}.{}.{}", byte[0], byte[1], byte[2], byte[3]);
        }
        if (!text.empty())
            names += (names.empty() ? "" : ", ") + text;
    }
    GENERAL_NAMES_free(alternatives);
    return names.empty() ? text_of(X509_get_subject_name(&certificate)) : harmless(names);
}

// As Paho does it.
bool is_for(const X509& certificate, const std::string& host)
{
    auto* unchanged = const_cast<X509*>(&certificate);
    return X509_check_host(unchanged, host.data(), host.size(), 0, nullptr) == 1 ||
           X509_check_ip_asc(unchanged, host.c_str(), 0) == 1;
}

std::string trusted(const TlsFiles& files)
{
    if (!files.ca_file.empty())
        return "ca_file " + files.ca_file.string();
    if (!files.ca_folder.empty())
        return "ca_folder " + files.ca_folder.string();
    return "the system's list";
}

// The CA that was missed at the end of what could be put together.
std::string missing_root(const SSL& tls, const X509& certificate)
{
    const STACK_OF(X509)* chain = SSL_get0_verified_chain(&tls);
    const int length = sk_X509_num(chain);
    return text_of(X509_get_issuer_name(length > 0 ? sk_X509_value(chain, length - 1) : &certificate));
}

std::string why_untrusted(long error, const X509& certificate, const SSL& tls, const BrokerSettings& broker)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return fmt::format(
            "the broker's certificate has expired ({}; this clock says {}): renew it on the broker, or "
            "set this machine's clock",
            date_of(X509_get0_notAfter(&certificate)), today());
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return fmt::format(
            "the broker's certificate is not valid before {} (this clock says {}): set this machine's "
            "clock",
            date_of(X509_get0_notBefore(&certificate)), today());
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "the broker's certificate is self-signed and not one that we trust: if it is yours, copy it "
               "here and "
               "name it as ca_file in [broker]";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT: // of one of ours
        return fmt::format(
            "the CA that signed the broker's certificate is in {}, but not its root ({}), up to which all is "
            "looked at: add the root's certificate there",
            trusted(broker.tls), missing_root(tls, certificate));
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: // of one that the broker sent
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return fmt::format(
            "the broker's certificate is signed by an unknown CA ({}), which is not in {}: name that CA's "
            "certificate as ca_file in [broker]; if it is an intermediate CA, have the broker send its whole "
            "chain, and name the root's",
            missing_root(tls, certificate), trusted(broker.tls));
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return fmt::format(
            "the broker's certificate is signed by an unknown CA ({}), which is not in {}: name that "
            "CA's certificate as ca_file in [broker]",
            missing_root(tls, certificate), trusted(broker.tls));
    default:
        return fmt::format("the broker's certificate is not good ({}): have it made anew",
                           X509_verify_cert_error_string(error));
    }
}

constexpr const char* no_tls = "the broker does not speak TLS on this port: its usual port is 8883; without "
                               "TLS the url begins with mqtt://";

constexpr const char* too_old = "the broker speaks no TLS 1.2 or newer, or no cipher that we do: update it";

std::string why_broken_off(const SSL& tls, const BrokerSettings& broker)
{
    constexpr int from_the_peer = 1000; // SSL_AD_REASON_OFFSET: the rest is the alert's number
    const unsigned long error = ERR_peek_error();
    const int reason = ERR_GET_REASON(error);
    const bool we_have_one = !broker.tls.client_cert.empty();
    switch (reason - from_the_peer) {
    case SSL_AD_PROTOCOL_VERSION:
        return too_old;
    case SSL_AD_HANDSHAKE_FAILURE:
        if (SSL_get0_peer_certificate(&tls) == nullptr) // nothing was agreed on yet
            return too_old;
        [[fallthrough]];
    case TLS13_AD_CERTIFICATE_REQUIRED:
        if (!we_have_one)
            return "the broker wants a client certificate: set client_cert and client_key in [broker]";
        return fmt::format("the broker refuses our client certificate {}: see its log for the reason",
                           broker.tls.client_cert.string());
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
        if (we_have_one) {
            return fmt::format(
                "the broker refuses our client certificate {} ({}): have it renewed or signed by a CA "
                "that the broker trusts",
                broker.tls.client_cert.string(), SSL_alert_desc_string_long(reason - from_the_peer));
        }
        break;
    default:
        break;
    }
    if (reason == SSL_R_UNSUPPORTED_PROTOCOL)
        return too_old;
    if (error == 0 || reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return no_tls;
    const char* words = ERR_reason_error_string(error);
    return fmt::format("TLS fails ({}): see the broker's log", words != nullptr ? words : "no reason given");
}

bool timed_out(const SSL& tls, int result)
{
    return SSL_get_error(&tls, result) == SSL_ERROR_WANT_READ || errno == EAGAIN;
}

} // namespace

void check_tls_files(const TlsFiles& files)
{
    (void)context_of(files);
}

std::optional<std::string> why_tls_fails(int socket, const BrokerSettings& broker)
{
    const TlsContext context = context_of(broker.tls);
    // So that we get to see what is wrong with a certificate; nothing is told to whoever has it.
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
    const Tls tls = required(Tls(SSL_new(context.get())), "SSL_new");
    require(SSL_set_fd(tls.get(), socket), "SSL_set_fd");
    std::string name = broker.url.host; // SSL_set_tlsext_host_name() is a macro with an old cast
    require(static_cast<int>(
                SSL_ctrl(tls.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data())),
            "naming the host");

    ERR_clear_error();
    errno = 0;
    if (const int result = SSL_connect(tls.get()); result != 1) {
        return timed_out(*tls, result) ? "no answer to TLS: is this a broker's port for TLS?"
                                       : why_broken_off(*tls, broker);
    }
    const Certificate certificate(SSL_get1_peer_certificate(tls.get()));
    if (!certificate)
        return "the broker shows no certificate: give it one";
    if (const long error = SSL_get_verify_result(tls.get()); error != X509_V_OK)
        return why_untrusted(error, *certificate, *tls, broker);
    if (!is_for(*certificate, broker.url.host)) {
        return fmt::format(
            "wrong host: the broker's certificate is for {}, not for {}: use such a name in the url, or "
            "have the certificate made for this one",
            names_of(*certificate), broker.url.host);
    }

    // With TLS 1.3 the broker's opinion of our certificate comes last, and is all that it says before we speak.
    char ignored = 0;
    errno = 0;
    const int result = SSL_read(tls.get(), &ignored, 1);
    if (result <= 0 && !timed_out(*tls, result) && SSL_get_error(tls.get(), result) == SSL_ERROR_SSL)
        return why_broken_off(*tls, broker);
    return std::nullopt;
}

} // namespace pulsemeter::crypto
