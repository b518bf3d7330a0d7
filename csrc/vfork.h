/* A child that uses our memory, on a stack of its own: the idiom that takes some assembly. */
#pragma once
#include "internal.h"
#include <linux/sched.h>

/* clone3(2) with a stack: the child comes back from the system call in *entry*, and never returns. */
static inline long clone_apart(struct clone_args *args, void (*entry)(const void *), const void *arg)
{
#if defined(__x86_64__)
    register long result __asm__("rax") = __NR_clone3;
    register const void *first __asm__("r12") = arg;
    register void (*begin)(const void *) __asm__("r13") = entry;
    __asm__ volatile(
        "syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\txor %%ebp, %%ebp\n\tmov %%r12, %%rdi\n\tcall *%%r13\n1:"
        : "+a"(result)
        : "D"(args), "S"(sizeof *args), "r"(first), "r"(begin)
        : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = __NR_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = sizeof *args;
    register const void *first __asm__("x19") = arg;
    register void (*begin)(const void *) __asm__("x20") = entry;
    __asm__ volatile("svc #0\n\tcbnz x0, 1f\n\tmov x29, xzr\n\tmov x0, x19\n\tblr x20\n1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(first), "r"(begin)
                     : "memory", "cc");
    return x0;
#endif
}
