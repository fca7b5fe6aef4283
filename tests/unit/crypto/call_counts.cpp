#include "tests/unit/crypto/call_counts.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <atomic>

namespace {
std::atomic<int> decryptions_made;
std::atomic<int> comparisons_made;
} // namespace

// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
extern "C" {
int __real_EVP_DecryptUpdate(EVP_CIPHER_CTX* context, unsigned char* out, int* out_size,
                             const unsigned char* in, int in_size);
int __real_CRYPTO_memcmp(const void* left, const void* right, std::size_t size);
int __wrap_EVP_DecryptUpdate(EVP_CIPHER_CTX* context, unsigned char* out, int* out_size,
                             const unsigned char* in, int in_size);
int __wrap_CRYPTO_memcmp(const void* left, const void* right, std::size_t size);

int __wrap_EVP_DecryptUpdate(EVP_CIPHER_CTX* context, unsigned char* out, int* out_size,
                             const unsigned char* in, int in_size)
{
    ++decryptions_made;
    return __real_EVP_DecryptUpdate(context, out, out_size, in, in_size);
}

int __wrap_CRYPTO_memcmp(const void* left, const void* right, std::size_t size)
{
    ++comparisons_made;
    return __real_CRYPTO_memcmp(left, right, size);
}
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

pulsemeter::test::CallCounts pulsemeter::test::CallCounts::now()
{
    return {.decryptions = decryptions_made, .comparisons = comparisons_made};
}
