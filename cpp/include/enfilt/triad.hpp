// The bandwidth that every floor is measured against: c = a + k b over arrays beyond the caches.
#pragma once

#include "blocks.hpp"

ENFILT_OPEN

template <class T>
void triad(const T* a, const T* b, T k, index_t n, T* c) {
#pragma omp parallel for schedule(static)
    for (index_t i = 0; i < n; ++i) c[i] = a[i] + k * b[i];
}

ENFILT_CLOSE
