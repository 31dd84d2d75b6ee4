// Inflation: an ensemble widened about its mean, in one pass over memory.
//
// A member x_j moves by amount times
//
//     multiplicative   a_j                     amount: the factor less 1
//     RTPP             f_j - a_j               amount: the relaxation
//     RTPS             a_j (s_f - s_a) / s_a   amount: the relaxation
//
// with the anomalies a and f of analysis and forecast and their spreads s, the amount being one
// number or one for each component. Anomalies are those of the differences to the first member:
// they are rounded as the spread is, where differences to a mean would be as the values are. A
// component whose members agree, or whose amount is 0, keeps every bit.
#pragma once

#include <limits>

#include "blocks.hpp"

ENFILT_OPEN

namespace inflation_detail {

// What the anomalies of a component are made with: the mean of the differences to the first member,
// and the inverse of their sum in size, which makes numbers of them that can be squared.
template <class T>
struct Centre {
    vec_t<T> base, mean, inverse;

    // The first n lanes of the members from `rows` on.
    ENFILT_INLINE Centre(const T* rows, index_t members, index_t dim, index_t n)
        : base(load_up_to(rows, n)), mean{} {
        vec_t<T> size = broadcast<T>(std::numeric_limits<T>::min());
        for (index_t j = 1; j < members; ++j) {
            const vec_t<T> difference = load_up_to(rows + j * dim, n) - base;
            mean += difference;
            size += select<T>(difference < T(0), -difference, difference);
        }
        mean /= static_cast<T>(members);
        inverse = T(1) / size;
    }

    // sqrt(sum_j a_j^2), times the inverse.
    ENFILT_INLINE vec_t<T> scaled_norm(const T* rows, index_t members, index_t dim,
                                       index_t n) const {
        vec_t<T> sum = {};
        for (index_t j = 0; j < members; ++j) {
            const vec_t<T> anomaly = (load_up_to(rows + j * dim, n) - base - mean) * inverse;
            sum += anomaly * anomaly;
        }
        return sqrt<T>(sum);
    }
};

template <Inflate kind, class T>
class Inflater {
    static constexpr index_t lanes = Blocks<T>::lanes;
    static constexpr bool relaxes = kind != Inflate::multiplicative;

  public:
    explicit Inflater(const InflationProblem<T>& p)
        : p_(p), blocks_(p.members * (relaxes ? 3 : 2), p.dim),
          scratch_(Rows::count, blocks_.stride, blocks_.team),
          past_caches_(p.out != p.x && p.members * p.dim > beyond_caches) {}

    void run() {
        blocks_.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            const Rows r(scratch_.of(thread), blocks_.stride);
            prepare(r, first, n);
            for (index_t j = 0; j < p_.members; ++j) move(r, j, first, n);
            if (past_caches_ && (first + n == p_.dim || first + n == (chunk + 1) * blocks_.chunk))
                flush_past_caches();
        });
    }

  private:
    // Numbers of an ensemble of which nothing will be left in the caches when it is read again.
    static constexpr index_t beyond_caches = (index_t{1} << 24) / static_cast<index_t>(sizeof(T));

    // What the moves of a block's members have in common, and a row of results.
    struct Rows {
        static constexpr index_t count = 7;
        T *base, *mean, *forecast_base, *forecast_mean, *inverse, *gain, *result;
        Rows(T* memory, index_t stride)
            : base(memory), mean(base + stride), forecast_base(mean + stride),
              forecast_mean(forecast_base + stride), inverse(forecast_mean + stride),
              gain(inverse + stride), result(gain + stride) {}
    };

    void prepare(const Rows& r, index_t first, index_t n) const {
        const T* x = p_.x + first;
        const T* forecast = relaxes ? p_.forecast + first : nullptr;
        for (index_t d = 0; d < n; d += lanes) {
            const index_t rest = n - d;
            const vec_t<T> amount = p_.amount_varies ? load_up_to(p_.amount + first + d, rest)
                                                     : broadcast<T>(p_.amount[0]);
            const Centre<T> a(x + d, p_.members, p_.dim, rest);
            store(r.base + d, a.base);
            store(r.mean + d, a.mean);
            if constexpr (!relaxes) {
                store(r.gain + d, amount);
            } else {
                for (index_t j = 0; j < p_.members; ++j) prefetch(forecast + j * p_.dim + d);
                const Centre<T> f(forecast + d, p_.members, p_.dim, rest);
                if constexpr (kind == Inflate::rtpp) {
                    store(r.forecast_base + d, f.base);
                    store(r.forecast_mean + d, f.mean);
                    store(r.gain + d, amount);
                } else {
                    const vec_t<T> after = a.scaled_norm(x + d, p_.members, p_.dim, rest);
                    const vec_t<T> before = f.scaled_norm(forecast + d, p_.members, p_.dim, rest);
                    const vec_t<T> gap = before / f.inverse - after / a.inverse;
                    store(r.inverse + d, a.inverse);
                    // what has no spread has nothing to widen
                    store(r.gain + d, select<T>(after > T(0), amount * gap / after, vec_t<T>{}));
                }
            }
        }
    }

    void move(const Rows& r, index_t j, index_t first, index_t n) const {
        const index_t at = j * p_.dim + first;
        const T* x = p_.x + at;
        T* to = past_caches_ ? r.result : p_.out + at;
        for (index_t d = 0; d < n; d += lanes) {
            const index_t rest = n - d;
            prefetch(x + d);
            const vec_t<T> value = load_up_to(x + d, rest);
            vec_t<T> way = value - load(r.base + d) - load(r.mean + d);
            if constexpr (kind == Inflate::rtpp)
                way = load_up_to(p_.forecast + at + d, rest) - load(r.forecast_base + d) -
                      load(r.forecast_mean + d) - way;
            if constexpr (kind == Inflate::rtps) way *= load(r.inverse + d);
            const vec_t<T> step = load(r.gain + d) * way;
            // -0 + 0 would be the other zero
            store_up_to(to + d, select<T>(step == T(0), value, value + step), rest);
        }
        if (past_caches_) copy_past_caches(r.result, n, p_.out + at);
    }

    // The next block comes from memory while this one is worked on; the rows are too many, and the
    // pieces of them too short, for the processor to see it coming.
    ENFILT_INLINE void prefetch(const T* at) const {
        __builtin_prefetch(at + blocks_.length, 0, 2);
    }

    const InflationProblem<T>& p_;
    const Blocks<T> blocks_;
    const Scratch<T> scratch_;
    const bool past_caches_;
};

}  // namespace inflation_detail

template <class T>
void inflate(const InflationProblem<T>& p) {
    using inflation_detail::Inflater;
    switch (p.kind) {
        case Inflate::multiplicative: return Inflater<Inflate::multiplicative, T>(p).run();
        case Inflate::rtpp: return Inflater<Inflate::rtpp, T>(p).run();
        case Inflate::rtps: return Inflater<Inflate::rtps, T>(p).run();
    }
}

ENFILT_CLOSE
