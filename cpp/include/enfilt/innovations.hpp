// What innovations tell of an ensemble's variance: for each observation d = y - mean h(x) and the
// variance p of h(x) over the members, and the sums over observations that an estimate of the
// inflation needs. One pass over the ensemble; sums in float64, whatever its dtype.
#pragma once

#include <limits>

#include "observed.hpp"
#include "operators.hpp"
#include "tiles.hpp"

ENFILT_OPEN

namespace innovations_detail {

constexpr index_t sum_count = 4;

// A vector in float64: of float32 its halves.
template <class T>
struct Wide {
    static constexpr index_t parts = static_cast<index_t>(sizeof(double) / sizeof(T));
    typedef T part_t __attribute__((vector_size(ENFILT_VECTOR_BYTES / parts)));
    vec_t<double> part[parts];

    Wide() : part{} {}
    explicit ENFILT_INLINE Wide(vec_t<T> x) {
        part_t narrow[parts];
        std::memcpy(&narrow, &x, sizeof x);
        for (index_t k = 0; k < parts; ++k) part[k] = widened(narrow[k]);
    }
    ENFILT_INLINE void store_narrow(T* to) const {
        for (index_t k = 0; k < parts; ++k) {
            const part_t narrow = __builtin_convertvector(part[k], part_t);
            std::memcpy(to + k * Blocks<double>::lanes, &narrow, sizeof narrow);
        }
    }

  private:
    static ENFILT_INLINE vec_t<double> widened(part_t x) {
#if defined(__AVX512F__)
        // GCC 12 makes seven instructions of the conversion; all lanes by a mask, as in simd.hpp
        if constexpr (parts == 2)
            return reinterpret_cast<vec_t<double>>(
                _mm512_maskz_cvtps_pd(0xFF, reinterpret_cast<__m256>(x)));
        else
#endif
            return __builtin_convertvector(x, vec_t<double>);
    }
};

// Mean and variance of a component over members, from differences to the first of them. Four of
// these are added up as they are, and the fours in float64.
template <class T, class Value>
ENFILT_INLINE void moments(index_t members, Value&& value, Wide<T>& mean, Wide<T>& variance) {
    const vec_t<T> base = value(index_t{0});
    Wide<T> sum, squares;
    for (index_t j = 1; j < members;) {
        const index_t end = members - j < 4 ? members : j + 4;
        vec_t<T> few = {}, few_squares = {};
        for (; j < end; ++j) {
            const vec_t<T> difference = value(j) - base;
            few += difference;
            few_squares += difference * difference;
        }
        const Wide<T> more(few), more_squares(few_squares);
        for (index_t k = 0; k < Wide<T>::parts; ++k) {
            sum.part[k] += more.part[k];
            squares.part[k] += more_squares.part[k];
        }
    }
    const Wide<T> first(base);
    const double n = static_cast<double>(members), free = members > 1 ? n - 1 : 1;
    for (index_t k = 0; k < Wide<T>::parts; ++k) {
        const vec_t<double> shift = sum.part[k] / n;
        const vec_t<double> left = squares.part[k] - sum.part[k] * shift;
        mean.part[k] = first.part[k] + shift;
        variance.part[k] = select<double>(left > 0.0, left, vec_t<double>{}) / free;
    }
}

// Rows of one block in scratch; of a function that takes blocks, its values too.
template <class T>
struct Rows {
    T *y, *weight, *departure, *variance, *values;
    Rows(T* memory, index_t stride)
        : y(memory), weight(y + stride), departure(weight + stride), variance(departure + stride),
          values(variance + stride) {}
    static index_t count(index_t values) { return 4 + values; }
};

// Adds the sums of a block, and leaves d and p of its components in their rows.
template <class T, class Value>
void add_block(index_t members, index_t n, const Rows<T>& r, Value&& value, double* sums) {
    constexpr index_t lanes = Blocks<T>::lanes;
    vec_t<double> count = {}, ratio = {}, squares = {}, misfit = {};
    for (index_t d = 0; d < n; d += lanes) {
        const vec_t<T> precision = load(r.weight + d);
        const Wide<T> weight(precision), y(load(r.y + d));
        Wide<T> mean, variance, departure;
        moments<T>(members, [&](index_t j) { return value(j, d); }, mean, variance);
        for (index_t k = 0; k < Wide<T>::parts; ++k) {
            const ivec_t<double> seen = weight.part[k] > 0.0;
            const auto if_seen = [&](vec_t<double> x) {
                return select<double>(seen, x, vec_t<double>{});
            };
            departure.part[k] = y.part[k] - mean.part[k];
            const vec_t<double> relative = variance.part[k] * weight.part[k];
            count += if_seen(broadcast<double>(1.0));
            ratio += if_seen(relative);
            squares += if_seen(relative * relative);
            misfit += if_seen(departure.part[k] * departure.part[k] * weight.part[k]);
        }
        departure.store_narrow(r.departure + d);
        variance.store_narrow(r.variance + d);
    }
    sums[0] += add_lanes(count);
    sums[1] += add_lanes(ratio);
    sums[2] += add_lanes(squares);
    sums[3] += add_lanes(misfit);
}

}  // namespace innovations_detail

template <class T>
void innovations(const InnovationProblem<T>& p) {
    using namespace innovations_detail;
    const Observed<T>& observed = *p.observed;
    with_pointwise<T>(observed, [&](auto h) {
        constexpr bool by_blocks = takes_blocks<decltype(h)>;
        const index_t rows = Rows<T>::count(by_blocks ? p.members : 0);
        const Blocks<T> blocks(p.members + rows, p.dim, sum_count, p.members);
        const Scratch<T> scratch(rows, blocks.stride, blocks.team);
        const PartialSums<T> sums(blocks, sum_count);
        sums.clear();
        blocks.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            const Rows<T> r(scratch.of(thread), blocks.stride);
            const T* x = p.x + first;
            if (spread_observations(observed, first, n, r.y, r.weight) > 0) {
                if constexpr (by_blocks) {
                    for (index_t j = 0; j < p.members; ++j)
                        h.function.values(x + j * p.dim, n, r.values + j * blocks.stride);
                    const auto value = [&](index_t j, index_t d) {
                        return load(r.values + j * blocks.stride + d);
                    };
                    add_block(p.members, n, r, value, sums.of(chunk));
                } else {
                    const auto value = [&](index_t j, index_t d) {
                        const T* at = x + j * p.dim + d;
                        // the rows are too many for the processor to see the next block coming
                        __builtin_prefetch(at + blocks.length, 0, 2);
                        return h.value(load_up_to(at, n - d));
                    };
                    add_block(p.members, n, r, value, sums.of(chunk));
                }
            }
            if (!p.departures) return;
            for_each_observation(observed, first, n, [&](index_t d, index_t k) {
                const bool seen = r.weight[d] > T(0);
                p.departures[k] = seen ? r.departure[d] : std::numeric_limits<T>::quiet_NaN();
                p.variances[k] = seen ? r.variance[d] : std::numeric_limits<T>::quiet_NaN();
            });
        });
        sums.total(p.sums);
    });
}

ENFILT_CLOSE
