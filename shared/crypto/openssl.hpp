// Owning pointers and error handling for OpenSSL, for the .cpp files of shared/crypto and server/crypto only.
// A failing call means a broken installation or no memory, never an outsider's doing: it throws.
#pragma once

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace pulsemeter::crypto {

template <auto free>
struct OpensslFree {
    template <typename T>
    void operator()(T* object) const
    {
        free(object);
    }
};
using Cipher = std::unique_ptr<EVP_CIPHER, OpensslFree<EVP_CIPHER_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, OpensslFree<EVP_CIPHER_CTX_free>>;
using Digest = std::unique_ptr<EVP_MD, OpensslFree<EVP_MD_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>>;
using Kdf = std::unique_ptr<EVP_KDF, OpensslFree<EVP_KDF_free>>;
using KdfContext = std::unique_ptr<EVP_KDF_CTX, OpensslFree<EVP_KDF_CTX_free>>;

[[noreturn]] inline void throw_openssl(const char* what)
{
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    throw std::runtime_error(std::string("OpenSSL: ") + what + " failed" +
                             (reason != nullptr ? std::string(": ") + reason : std::string()));
}

inline void require(int result, const char* what)
{
    if (result <= 0)
        throw_openssl(what);
}

template <typename Pointer>
Pointer required(Pointer pointer, const char* what)
{
    if (!pointer)
        throw_openssl(what);
    return pointer;
}

} // namespace pulsemeter::crypto
