/* Maps of sparse files: GNU's old one, and the three that GNU tar writes into pax archives. */
#include "tar.h"
#include <stdlib.h>

void tar_forget_map(struct tar_sparse *sparse)
{
    *sparse = (struct tar_sparse){.segments = sparse->segments, .room = sparse->room, .offset = -1};
}

/* Decimal digits, with a sign before them if it is a minus. */
int tar_decimal(struct tar_text text, int64_t *number)
{
    int negative = text.size && text.at[0] == '-';
    int64_t value = 0;

    if (text.size == (size_t)negative)
        return WRONG(PAX);
    for (size_t i = (size_t)negative; i < text.size; i++) {
        int digit = text.at[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return WRONG(PAX);
    }
    *number = negative ? -value : value;
    return 0;
}

static int grow(struct tar_sparse *sparse)
{
    size_t room = sparse->room ? 2 * sparse->room : 64;
    struct tar_segment *segments = realloc(sparse->segments, room * sizeof *segments);

    if (!segments)
        return -ENOMEM;
    sparse->segments = segments;
    sparse->room = room;
    return 0;
}

int tar_add_segment(struct tar_sparse *sparse, int64_t offset, int64_t size)
{
    if (offset < 0 || size < 0 || sparse->n == MOST_SEGMENTS)
        return WRONG(SPARSE);
    if (sparse->n == sparse->room)
        TRY(grow(sparse));
    sparse->segments[sparse->n++] = (struct tar_segment){(uint64_t)offset, (uint64_t)size};
    return 0;
}

/* Up to *n* segments of GNU's old format; one that is empty ends them. */
int tar_add_old(struct tar_sparse *sparse, const char *at, int n)
{
    for (int i = 0; i < n && at[OLD_NUMBER]; i++, at += OLD_SEGMENT) {
        int64_t offset, size;
        TRY(tar_number(at, OLD_NUMBER, &offset));
        TRY(tar_number(at + OLD_NUMBER, OLD_NUMBER, &size));
        TRY(tar_add_segment(sparse, offset, size));
    }
    return 0;
}

/* "offset,size,offset,size" */
int tar_add_list(struct tar_sparse *sparse, struct tar_text list)
{
    int64_t number, offset = -1;

    for (size_t at = 0, end; at < list.size; at = end + 1) {
        for (end = at; end < list.size && list.at[end] != ',';)
            end++;
        TRY(tar_decimal((struct tar_text){list.at + at, end - at}, &number));
        if (offset < 0)
            offset = number;
        else {
            TRY(tar_add_segment(sparse, offset, number));
            offset = -1;
        }
        if (number < 0)
            return WRONG(SPARSE);
    }
    return offset < 0 ? 0 : WRONG(SPARSE);
}

static int take_number(struct tar_sparse *sparse)
{
    if (!sparse->counted) {
        if (sparse->number > MOST_SEGMENTS)
            return WRONG(SPARSE);
        sparse->expected = sparse->number;
        sparse->counted = 1;
    } else if (sparse->offset < 0)
        sparse->offset = (int64_t)sparse->number;
    else {
        TRY(tar_add_segment(sparse, sparse->offset, (int64_t)sparse->number));
        sparse->offset = -1;
    }
    sparse->number = 0;
    sparse->digits = 0;
    return sparse->n == sparse->expected;
}

/* A map before the data: how many segments, then offset and size of each, a number a line. */
int tar_read_map(struct tar_sparse *sparse, const char *block, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int digit = block[i] - '0';
        if (block[i] == '\n' && sparse->digits) {
            if (TRY(take_number(sparse)))
                return 1;
        } else if (digit < 0 || digit > 9 || ++sparse->digits > 18)
            return WRONG(SPARSE);
        else
            sparse->number = sparse->number * 10 + (uint64_t)digit;
    }
    return 0;
}

/* In order, not over each other, within the file, and as much as *size*, which is what the archive has. */
int tar_check_map(const struct tar_sparse *sparse, uint64_t size)
{
    uint64_t end = 0, sum = 0;

    for (size_t i = 0; i < sparse->n; i++) {
        const struct tar_segment *segment = &sparse->segments[i];
        if (segment->offset < end || __builtin_add_overflow(segment->offset, segment->size, &end) ||
            end > sparse->real_size)
            return WRONG(SPARSE);
        sum += segment->size;
    }
    return sum == size ? 0 : WRONG(SPARSE);
}
