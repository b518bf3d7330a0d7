/* What the engine and its joiner say to each other. */
#pragma once
#include "internal.h"

enum {
    JOIN_REPORT, /* where the fds of a request stand */
    JOIN_STDIO,
    JOIN_TARGET = 4,
    JOIN_CGROUP,
    JOIN_FDS, /* the birth's own, and after them the landing where there shall be an init */
    MOST_JOIN_FDS = 100,
    LARGEST_PLAN = 16 << 20
};

struct join_request {
    uint32_t size; /* of the plan that follows */
    int32_t n_fds;
    int32_t into_cgroup;
    int32_t init;
    uint64_t unshare; /* CLONE_NEW*: namespaces made for it */
    uint64_t joined;  /* CLONE_NEW*: which namespaces of the target */
};
