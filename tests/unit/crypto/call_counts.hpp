// How often the code under test called OpenSSL's decryption and its constant-time comparison. The linker puts
// the counting functions of call_counts.cpp in between (--wrap), so what is counted is the real program's
// calls.
#pragma once

namespace pulsemeter::test {

struct CallCounts {
    int decryptions = 0; // EVP_DecryptUpdate
    int comparisons = 0; // CRYPTO_memcmp
    [[nodiscard]] static CallCounts now();
    CallCounts operator-(const CallCounts& earlier) const
    {
        return {decryptions - earlier.decryptions, comparisons - earlier.comparisons};
    }
};

} // namespace pulsemeter::test
