// The bandwidth that every floor is measured against: c = a + k b over arrays beyond the caches.
#pragma once

#include "blocks.hpp"

ENFILT_OPEN

template <class T>
void triad(const T* a, const T* b, T k, index_t n, T* c) {
    constexpr index_t piece = 1 << 13;
    const index_t pieces = (n + piece - 1) / piece;
    Team(pieces).for_each(pieces, [&](int, index_t task) {
        const index_t end = (task + 1) * piece < n ? (task + 1) * piece : n;
        for (index_t i = task * piece; i < end; ++i) c[i] = a[i] + k * b[i];
    });
}

ENFILT_CLOSE
