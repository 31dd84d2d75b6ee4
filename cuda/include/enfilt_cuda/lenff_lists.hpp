// Sums over lists of observations for the localized flow filter: any geometry, any operator. A
// block has a place d at a time, with pairs of it and observations l
//
//     c_dl = rho_dl (a_d . Y_l) / (N - 1):    b_d = sum_l |c_dl|,    dx_d = sum_l c_dl g_l.
#pragma once

#include "kernels.hpp"
#include "platform.hpp"

namespace enfilt::cuda {

template <class T>
struct LenffListsPass {
    static constexpr unsigned threads = 64;
    static constexpr std::size_t shared_bytes = threads * sizeof(double);

    LenffSums<T> p;  // all of it on the device

    Grid grid() const { return {count_of(smaller(p.count, 1 << 20)), 1}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        for (index_t d = c.block(); d < p.count; d += c.blocks()) {
            if (p.gains)
                move(c, d);
            else
                bound(c, d);
        }
    }

  private:
    ENFILT_DEVICE double product(index_t d, index_t k) const {
        const T *a = p.rows + d * p.members, *y = p.anomalies + p.indices[k] * p.members;
        T dot = 0;
        for (index_t j = 0; j < p.members; ++j) dot += a[j] * y[j];
        return p.rho[k] / static_cast<double>(p.members - 1) * static_cast<double>(dot);
    }

    template <class Context>
    ENFILT_DEVICE void bound(Context& c, index_t d) const {
        double sum = 0;
        for (index_t k = p.starts[d] + c.thread(); k < p.starts[d + 1]; k += threads)
            sum += std::fabs(product(d, k));
        sum = block_sum(c, threads, sum, c.template shared<double>());
        if (c.thread() == 0) p.bounds[d] = sum;
        c.sync();
    }

    // A thread has an observation, then a member or several.
    template <class Context>
    ENFILT_DEVICE void move(Context& c, index_t d) const {
        T* const products = c.template shared<T>();
        T* const to = p.moves + d * p.members;
        for (index_t j = c.thread(); j < p.members; j += threads) to[j] = T(0);
        const index_t end = p.starts[d + 1];
        for (index_t first = p.starts[d]; first < end; first += threads) {
            const int count = static_cast<int>(smaller(end - first, threads));
            const int t = static_cast<int>(c.thread());
            if (t < count) products[t] = static_cast<T>(product(d, first + t));
            c.sync();
            for (index_t j = t; j < p.members; j += threads) {
                T sum = 0;
                for (int s = 0; s < count; ++s)
                    sum += products[s] * p.gains[p.indices[first + s] * p.members + j];
                to[j] += sum;
            }
            c.sync();
        }
    }
};

}  // namespace enfilt::cuda
