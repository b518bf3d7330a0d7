/* System calls without a libc: each gives its result, or -errno.
 *
 * A child that borrows its host program's memory must not touch that program's
 * errno, locks or buffers; the landing and the joiner have no libc at all.  So
 * both speak to the kernel through these. */
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>
#include <asm/unistd.h>

#if defined(__x86_64__)
static inline long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__aarch64__)
static inline long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
}
#else
#error "syscalls.h: teach me this architecture"
#endif

#define SYS_PICK(_1, _2, _3, _4, _5, _6, _7, name, ...) name
#define SYS_L(x) ((long)(x))
#define SYS_0(nr) sys6(nr, 0, 0, 0, 0, 0, 0)
#define SYS_1(nr, a) sys6(nr, SYS_L(a), 0, 0, 0, 0, 0)
#define SYS_2(nr, a, b) sys6(nr, SYS_L(a), SYS_L(b), 0, 0, 0, 0)
#define SYS_3(nr, a, b, c) sys6(nr, SYS_L(a), SYS_L(b), SYS_L(c), 0, 0, 0)
#define SYS_4(nr, a, b, c, d) sys6(nr, SYS_L(a), SYS_L(b), SYS_L(c), SYS_L(d), 0, 0)
#define SYS_5(nr, a, b, c, d, e) sys6(nr, SYS_L(a), SYS_L(b), SYS_L(c), SYS_L(d), SYS_L(e), 0)
#define SYS_6(nr, a, b, c, d, e, f) sys6(nr, SYS_L(a), SYS_L(b), SYS_L(c), SYS_L(d), SYS_L(e), SYS_L(f))

/* SYS(openat, dirfd, path, flags): any number of arguments. */
#define SYS(name, ...) SYS_CALL(__NR_##name, ##__VA_ARGS__)
#define SYS_CALL(...) SYS_PICK(__VA_ARGS__, SYS_6, SYS_5, SYS_4, SYS_3, SYS_2, SYS_1, SYS_0)(__VA_ARGS__)
