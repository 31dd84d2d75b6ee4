// How the components are cut up, and how a block of them is brought into cache.
//
// A *chunk* is what one thread works on and what one partial sum belongs to; a *block* is the part
// of a chunk that stands in cache at one time. Both depend on the sizes alone, never on the number
// of threads, and partial sums are added in the order of the chunks: the same call gives the same
// bits with any number of threads. Chunks are those of the whole state where processes share one:
// where their parts end with chunks, it gives the same bits with any number of processes, too.
#pragma once

#include <cstring>

#include "buffer.hpp"
#include "parallel.hpp"
#include "share.hpp"

ENFILT_OPEN

ENFILT_INLINE index_t round_up(index_t n, index_t unit) { return (n + unit - 1) / unit * unit; }

template <class T>
struct Blocks {
    static constexpr index_t lanes = static_cast<index_t>(simd<T>::lanes);

    index_t dim;
    index_t before;  // the first component's place in the whole state, where that is shared
    index_t chunk;   // components in a chunk
    index_t begin;   // the chunk of the first component
    index_t chunks;
    index_t length;  // components in a block, a multiple of the lanes
    index_t stride;  // from row to row of a block in scratch
    Team team;       // that chunks are shared out to

    // rows: how many rows of a block stand in cache together. sums: how many float64 numbers are
    // summed up for each chunk, and data: of how many rows in memory.
    Blocks(index_t rows, index_t dim_, index_t sums = 0, index_t data = 1)
        : dim(dim_), before(current_share() ? current_share()->first : 0),
          chunk(chunk_of(all(), sums, data)), begin(before / chunk),
          chunks(dim > 0 ? (before + dim - 1) / chunk - begin + 1 : 0),
          team(chunks, rows * dim > (index_t{1} << 17)) {
        // 2 KB a row fills whole pages' worth of prefetch; many rows get shorter ones, so that
        // all of them stay within the second-level cache.
        index_t bytes = 2048;
        while (bytes > 256 && rows * bytes > (index_t{1} << 19)) bytes /= 2;
        length = bytes / static_cast<index_t>(sizeof(T));
        const index_t whole = chunk < all() ? chunk : all(), blocks = (whole + length - 1) / length;
        length = round_up((whole + blocks - 1) / blocks, lanes);
        // one vector more than the length: rows a power of two apart would share cache sets
        stride = length + lanes;
    }

    // Calls body(thread, chunk index, first component, components) for every block.
    template <class Body>
    void for_each(Body&& body) const {
#if defined(ENFILT_DRY_RUN)  // a program that looks at how work is shared out, and does none
        return ENFILT_DRY_RUN(chunks, chunk);
#endif
        team.for_each(chunks, [&](int thread, index_t c) {
            const index_t start = (begin + c) * chunk - before, stop = start + chunk;
            const index_t end = stop < dim ? stop : dim;
            for (index_t d = start > 0 ? start : 0; d < end; d += length) {
                check_interrupt();
                body(thread, c, d, end - d < length ? end - d : length);
            }
        });
    }

  private:
    index_t all() const { return current_share() ? current_share()->whole : dim; }

    // The sums of a chunk take less than 5 % of the bytes of float32 that they are sums over: at the
    // wished length 3.6 %, and chunks are made at most a half shorter, since their number is the
    // nearest power of two, which teams of 16, 64 or 128 threads share out evenly. With more than
    // 4,096 of them nothing is gained.
    static index_t chunk_of(index_t dim, index_t sums, index_t data) {
        const index_t wished = 56 * sums / data > 1024 ? 56 * sums / data : 1024;
        index_t count = 1;
        while (2 * count * count * wished * wished <= dim * dim && count < 4096) count *= 2;
        return round_up((dim + count - 1) / count, lanes);
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

// Rows in scratch of each thread of a team, zero at first: rows that pad a tile stay zero. Each
// thread clears its own, and so has it in memory nearby.
template <class T>
class Scratch {
  public:
    Scratch(index_t rows, index_t stride, const Team& team)
        : size_(rows * stride), data_(static_cast<std::size_t>(size_ * team.size())),
          cleared_(static_cast<std::size_t>(team.size())) {
        std::memset(cleared_.get(), 0, static_cast<std::size_t>(team.size()));
    }
    T* of(int thread) const {
        T* const own = data_.get() + size_ * thread;
        if (!cleared_[static_cast<std::size_t>(thread)]) {
            std::memset(own, 0, static_cast<std::size_t>(size_) * sizeof(T));
            cleared_[static_cast<std::size_t>(thread)] = 1;
        }
        return own;
    }

  private:
    index_t size_;
    Buffer<T> data_;
    Buffer<char> cleared_;
};

// Float64 partial sums, `width` a chunk, and their total as if once rounded (Knuth's exact sum of
// two, what each rounding lost added up beside them): a hundred of them would else lose more digits
// than all that was added up to make them, and the total would depend on which of them a process
// adds up. What overflows has lost no number.
template <class T>
class PartialSums {
  public:
    PartialSums(const Blocks<T>& blocks, index_t width)
        : chunks_(blocks.chunks), width_(width),
          data_(static_cast<std::size_t>(chunks_ * width)) {}
    void clear() const {
        Team(chunks_, chunks_ * width_ > 65536).for_each(chunks_, [&](int, index_t c) {
            std::memset(of(c), 0, static_cast<std::size_t>(width_) * sizeof(double));
        });
    }
    double* of(index_t chunk) const { return data_.get() + chunk * width_; }
    void total(double* out) const {
        const Share* const share = current_share();
        if (chunks_ == 1 && !share) {
            std::memcpy(out, of(0), static_cast<std::size_t>(width_) * sizeof(double));
            return;
        }
        const Buffer<double> lost(static_cast<std::size_t>(width_));
        constexpr index_t run = 64;  // columns at a time: a chunk's come in whole cache lines
        const index_t runs = (width_ + run - 1) / run;
        Team(runs, chunks_ * width_ > 65536).for_each(runs, [&](int, index_t r) {
            const index_t end = (r + 1) * run < width_ ? (r + 1) * run : width_;
            for (index_t k = r * run; k < end; ++k) out[k] = lost[static_cast<std::size_t>(k)] = 0;
            for (index_t c = 0; c < chunks_; ++c) {
                const double* const term = of(c);
                double* const more = lost.get();
                for (index_t k = r * run; k < end; ++k) {
                    const double sum = out[k] + term[k], added = sum - out[k];
                    more[k] += (out[k] - (sum - added)) + (term[k] - added);
                    out[k] = sum;
                }
            }
        });
        if (share) share->add(share->context, out, lost.get(), width_);
        for (index_t k = 0; k < width_; ++k) {
            const double found = lost[static_cast<std::size_t>(k)];
            out[k] += found - found == 0 ? found : 0;
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

// Copies n components past the caches; ends that fill no cache line go the usual way.
template <class T>
ENFILT_INLINE void copy_past_caches(const T* from, index_t n, T* to) {
    constexpr index_t line = 64 / static_cast<index_t>(sizeof(T)), lanes = Blocks<T>::lanes;
    const index_t passed = static_cast<index_t>(reinterpret_cast<std::uintptr_t>(to) % 64 / sizeof(T));
    index_t d = passed == 0 ? 0 : line - passed;
    if (d > n) d = n;
    std::memcpy(to, from, static_cast<std::size_t>(d) * sizeof(T));
    for (; d + line <= n; d += line)
        for (index_t l = 0; l < line; l += lanes) store_past_caches(to + d + l, load(from + d + l));
    std::memcpy(to + d, from + d, static_cast<std::size_t>(n - d) * sizeof(T));
}

ENFILT_CLOSE
