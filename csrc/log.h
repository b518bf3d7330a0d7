/* What writing a log and reading it have in common: its format, and eight bytes at once.
 *
 *     {"log":"text\n","stream":"stdout","attrs":{"k":"v"},"time":"2024-01-01T00:00:00.123456789Z"}
 *
 * All of it may be hostile: what the container writes, and what is found in the file.  A byte that is not
 * part of UTF-8 is written as the lone surrogate \udc80 to \udcff that Python's surrogateescape gives it.
 * UTF-8 has no surrogates, so it can mean nothing else, and every byte comes back. */
#pragma once
#include "internal.h"
#include <string.h>

#define ONES 0x0101010101010101ull
#define HIGHS (ONES * 0x80)

#define LOG_HEAD "{\"log\":\""

static inline uint64_t word_at(const unsigned char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* The high bit of each byte below `limit`; exact up to the first of them, above it a borrow may lie. */
static inline uint64_t below(uint64_t word, unsigned limit)
{
    return (word - ONES * limit) & ~word & HIGHS;
}

/* Of bytes that a JSON string cannot hold as they are. */
static inline uint64_t special(uint64_t word)
{
    return below(word, ' ') | below(word ^ ONES * '"', 1) | below(word ^ ONES * '\\', 1);
}

/* Copy up to the first of `marked` in an eighth; how many bytes that was.  Writes eight, whatever happens. */
static inline size_t copy_word(uint64_t word, uint64_t marked, char *to)
{
    memcpy(to, &word, sizeof word);
    return marked ? (size_t)__builtin_ctzll(marked) / 8 : sizeof word;
}
