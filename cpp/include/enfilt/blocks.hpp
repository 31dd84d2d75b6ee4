// How the components are cut up, and how a block of them is brought into cache.
//
// A *chunk* is what one thread works on and what one partial sum belongs to; a *block* is the part
// of a chunk that stands in cache at one time. Both depend on the sizes alone, never on the number
// of threads, and partial sums are added in the order of the chunks: the same call gives the same
// bits with any number of threads.
#pragma once

#include <omp.h>

#include <cstring>

#include "buffer.hpp"
#include "problem.hpp"

ENFILT_OPEN

ENFILT_INLINE index_t round_up(index_t n, index_t unit) { return (n + unit - 1) / unit * unit; }

ENFILT_INLINE int available_threads() { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

template <class T>
struct Blocks {
    static constexpr index_t lanes = static_cast<index_t>(simd<T>::lanes);

    index_t dim;
    index_t length;  // components in a block, a multiple of the lanes
    index_t stride;  // from row to row of a block in scratch
    index_t chunk;   // components in a chunk, a multiple of the length
    index_t chunks;

    // rows: how many rows of a block stand in cache together.
    Blocks(index_t rows, index_t dim_) : dim(dim_) {
        // 2 KB a row fills whole pages' worth of prefetch; many rows get shorter ones, so that
        // all of them stay within the second-level cache.
        index_t bytes = 2048;
        while (bytes > 256 && rows * bytes > (index_t{1} << 19)) bytes /= 2;
        length = bytes / static_cast<index_t>(sizeof(T));
        const index_t whole = round_up(dim, lanes);
        if (whole < length) length = whole;
        // one vector more than the length: rows a power of two apart would share cache sets
        stride = length + lanes;
        // few chunks, so that their N x N partial sums stay small beside the ensemble
        chunk = round_up(rows > 512 ? 16 * rows : 8192, length);
        while (chunk * 256 < dim) chunk *= 2;
        chunks = (dim + chunk - 1) / chunk;
    }

    // Calls body(thread, chunk index, first component, components) for every block.
    template <class Body>
    void for_each(Body&& body) const {
#pragma omp parallel for schedule(static) if (chunks > 1)
        for (index_t c = 0; c < chunks; ++c) {
            const index_t end = (c + 1) * chunk < dim ? (c + 1) * chunk : dim;
            for (index_t d = c * chunk; d < end; d += length)
                body(omp_get_thread_num(), c, d, end - d < length ? end - d : length);
        }
    }
};

// Rows of one block, zero at first: rows and entries that pad them stay zero.
template <class T>
class ZeroedRows {
  public:
    ZeroedRows(index_t rows, index_t stride)
        : stride_(stride), data_(static_cast<std::size_t>(rows * stride)) {
        std::memset(data_.get(), 0, static_cast<std::size_t>(rows * stride) * sizeof(T));
    }
    T* row(index_t i) const { return data_.get() + i * stride_; }

  private:
    index_t stride_;
    Buffer<T> data_;
};

// Rows of blocks in scratch of each thread, zero at first: rows that pad a tile stay zero.
template <class T>
class Scratch {
  public:
    Scratch(index_t rows, index_t stride)
        : size_(rows * stride), data_(static_cast<std::size_t>(size_ * available_threads())) {
        std::memset(data_.get(), 0, static_cast<std::size_t>(size_ * available_threads()) * sizeof(T));
    }
    T* of(int thread) const { return data_.get() + size_ * thread; }

  private:
    index_t size_;
    Buffer<T> data_;
};

// Float64 partial sums, `width` a chunk, and their total in the order of the chunks.
class PartialSums {
  public:
    PartialSums(index_t chunks, index_t width)
        : chunks_(chunks), width_(width), data_(static_cast<std::size_t>(chunks * width)) {}
    void clear() const {
        std::memset(data_.get(), 0, static_cast<std::size_t>(chunks_ * width_) * sizeof(double));
    }
    double* of(index_t chunk) const { return data_.get() + chunk * width_; }
    void total(double* out) const {
#pragma omp parallel for schedule(static) if (chunks_ * width_ > 65536)
        for (index_t k = 0; k < width_; ++k) {
            double sum = 0;
            for (index_t c = 0; c < chunks_; ++c) sum += data_[static_cast<std::size_t>(c * width_ + k)];
            out[k] = sum;
        }
    }

  private:
    index_t chunks_, width_;
    Buffer<double> data_;
};

// The first n lanes from memory, zeros behind them.
template <class T>
ENFILT_INLINE vec_t<T> load_partial(const T* p, index_t n) {
    T lane[simd<T>::lanes] = {};
    std::memcpy(lane, p, static_cast<std::size_t>(n) * sizeof(T));
    return load(lane);
}

template <class T>
ENFILT_INLINE vec_t<T> load_up_to(const T* p, index_t n) {
    return n >= Blocks<T>::lanes ? load(p) : load_partial(p, n);
}

// The first n lanes to memory, where there are not more.
template <class T>
ENFILT_INLINE void store_up_to(T* p, vec_t<T> x, index_t n) {
    if (n >= Blocks<T>::lanes)
        store(p, x);
    else
        std::memcpy(p, &x, static_cast<std::size_t>(n) * sizeof(T));
}

// Copies n components and fills up with zeros to a whole vector.
template <class T>
ENFILT_INLINE void fetch(const T* from, index_t n, T* to) {
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    for (index_t d = n; d < round_up(n, Blocks<T>::lanes); ++d) to[d] = T(0);
}

ENFILT_CLOSE
