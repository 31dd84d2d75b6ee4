// The localized ensemble flow filter where every place has a list of observations of its own: any
// geometry and any operator. h is evaluated by the caller, once a step; here are the sums over
// lists, over pairs of a place d and an observation l that it sees,
//
//     c_dl = rho_dl (a_d . Y_l) / (N - 1):    b_d = sum_l |c_dl|,    dx_d = sum_l c_dl g_l.
//
// A row of N members is padded to whole vectors, so that products run along the members.
#pragma once

#include "tiles.hpp"

ENFILT_OPEN

namespace lenff_detail {

// Rows of n, each followed by zeros up to whole vectors.
template <class T>
class PaddedRows {
  public:
    PaddedRows(const T* rows, index_t count, index_t n)
        : stride_(round_up(n, Blocks<T>::lanes)), data_(static_cast<std::size_t>(count * stride_)) {
        Team(count, count * stride_ > 65536).for_each(count, [&](int, index_t l) {
            fetch(rows + l * n, n, data_.get() + l * stride_);
        });
    }
    const T* operator[](index_t l) const { return data_.get() + l * stride_; }
    index_t stride() const { return stride_; }

  private:
    index_t stride_;
    Buffer<T> data_;
};

template <class T>
ENFILT_INLINE double dot(const T* a, const T* b, index_t n) {
    vec_t<T> sum = {};
    for (index_t j = 0; j < n; j += Blocks<T>::lanes) sum += load(a + j) * load(b + j);
    return add_lanes(sum);
}

}  // namespace lenff_detail

template <class T>
void lenff_lists(const LenffLists<T>& p) {
    constexpr index_t lanes = Blocks<T>::lanes;
    using lenff_detail::PaddedRows;
    const index_t n = p.members;
    const bool moves = p.gains != nullptr;
    const PaddedRows<T> anomalies(p.anomalies, p.observations, n);
    const PaddedRows<T> gains(p.gains, moves ? p.observations : 0, n);
    const index_t stride = anomalies.stride();
    constexpr index_t run = 16;  // places that a thread takes at a time
    const index_t runs = (p.count + run - 1) / run;
    const Team team(runs, p.starts[p.count] - p.starts[0] > 512);
    const Scratch<T> scratch(2 * stride, 1, team);
    const double share = 1.0 / static_cast<double>(n - 1);
    const auto visit = [&](index_t d, T* a) {
        T* dx = a + stride;
        fetch(p.rows + d * n, n, a);
        std::memset(dx, 0, static_cast<std::size_t>(stride) * sizeof(T));
        double bound = 0;
        for (std::int64_t k = p.starts[d]; k < p.starts[d + 1]; ++k) {
            const index_t l = p.indices[k];
            const double c = p.rho[k] * share * lenff_detail::dot(a, anomalies[l], stride);
            bound += c < 0 ? -c : c;
            if (!moves) continue;
            const vec_t<T> weight = broadcast(static_cast<T>(c));
            for (index_t j = 0; j < stride; j += lanes)
                store(dx + j, load(dx + j) + weight * load(gains[l] + j));
        }
        if (moves)
            std::memcpy(p.moves + d * n, dx, static_cast<std::size_t>(n) * sizeof(T));
        else
            p.bounds[d] = bound;
    };
    team.for_each_uneven(runs, [&](int thread, index_t r) {
        const index_t end = (r + 1) * run < p.count ? (r + 1) * run : p.count;
        for (index_t d = r * run; d < end; ++d) visit(d, scratch.of(thread));
    });
}

ENFILT_CLOSE
