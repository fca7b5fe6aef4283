// ENSURE(condition, "what it means"): our own bug if it fails, also in release builds. Aborts, so that a wrong
// total is never stored or sent.
#pragma once

#include <cstdio>
#include <cstdlib>

// A macro for the sake of the file and the line.
#define ENSURE(condition, meaning)                                                                           \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            static_cast<void>(                                                                               \
                std::fprintf(stderr, "%s:%d: bug: %s (%s)\n", __FILE__, __LINE__, meaning, #condition));     \
            std::abort();                                                                                    \
        }                                                                                                    \
    } while (false)
