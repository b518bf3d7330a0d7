/* What the tests in C are written with.  A test is a function; each runs in a process of its own, below a
 * directory of its own, and has to close what it opens. */
#pragma once
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

void add_test(struct test *test);
void fail(const char *file, int line, const char *what, long got, long wanted);

/* The directory of the test at hand, on a tmpfs that nobody else sees; and one of its entries. */
extern char here[64];
const char *at(const char *name);
int open_here(void);

/* Ways to lay out what a test needs; each ends the test if it cannot. */
void make_directory(const char *name);
void make_file(const char *name, const char *content);
void make_link(const char *name, const char *target);
int is_there(const char *name);

#define TEST(function)                                                                                       \
    static void function(void);                                                                              \
    static struct test test_##function = {.name = #function, .run = function};                               \
    __attribute__((constructor)) static void add_##function(void)                                            \
    {                                                                                                        \
        add_test(&test_##function);                                                                          \
    }                                                                                                        \
    static void function(void)

#define SAME(got, wanted)                                                                                    \
    do {                                                                                                     \
        long got_ = (long)(got), wanted_ = (long)(wanted);                                                   \
        if (got_ != wanted_)                                                                                 \
            fail(__FILE__, __LINE__, #got, got_, wanted_);                                                   \
    } while (0)

#define CHECK(claim) SAME(!!(claim), 1)

/* An fd, or the test fails. */
#define OPENED(call)                                                                                         \
    ({                                                                                                       \
        int fd_ = (int)(call);                                                                               \
        if (fd_ < 0)                                                                                         \
            fail(__FILE__, __LINE__, #call, fd_, 0);                                                         \
        fd_;                                                                                                 \
    })
