// The pairwise estimator for states of few components: lanes run over the centres.
//
// Where a row is shorter than a few vectors, lanes along it would stay empty and each of the N x N
// sums would end with its lanes added up. Here centres stand component by component, so that a
// vector holds one component of several of them; distances, weights and the mixture of one tile of
// points follow each other while its weights are in cache, and no N x N matrix is made.
#pragma once

#include "pairwise.hpp"

ENFILT_OPEN

template <class T>
class LowDimMixture {
    static constexpr index_t lanes = Blocks<T>::lanes;
    static constexpr index_t rows = tile_rows;

  public:
    // Up to so many components the sums over them may be taken in T in one piece.
    static constexpr index_t most = 128;

    // x0 may be null. log_weights (N,), or null. points: how many are mixed at most.
    LowDimMixture(const T* x1, const T* x0, index_t members, index_t dim,
                  const double* log_weights, index_t points)
        : members_(members), dim_(dim), columns_(round_up(members, lanes)),
          stride_(round_up(dim, lanes)), paired_(x0 != nullptr),
          turned_((paired_ ? 3 : 2) * dim, columns_),
          rows_((paired_ ? 3 : 2) * members, stride_),
          log_weight_(static_cast<std::size_t>(columns_)), team_(tiled(points) / rows, points * columns_ > 8192), scratch_(rows, columns_, team_) {
        for (index_t of = 0; of < (paired_ ? 2 : 1); ++of) {
            const T* x = of == 0 ? x1 : x0;
            for (index_t j = 0; j < members; ++j) {
                fetch(x + j * dim, dim, rows_.row((of + 1) * members + j));
                for (index_t d = 0; d < dim; ++d) turned_.row((of + 1) * dim + d)[j] = x[j * dim + d];
            }
        }
        double largest = -HUGE_VAL;  // taken out before they are rounded to T
        for (index_t j = 0; log_weights && j < members; ++j)
            if (log_weights[j] > largest) largest = log_weights[j];
        for (index_t j = 0; j < columns_; ++j) {
            const double l = log_weights && j < members ? log_weights[j] - largest : 0.0;
            log_weight_[static_cast<std::size_t>(j)] =
                j < members ? static_cast<T>(l) : -std::numeric_limits<T>::infinity();
        }
    }

    index_t stride() const { return stride_; }  // from row to row of points and mixtures

    // Centres a1 x1_j + a0 x0_j, and the targets c1 x1_j + c0 x0_j that are mixed.
    void set(double a1, double a0, double c1, double c0) {
        blend(turned_.row(0), dim_ * columns_, a1, a0);
        blend(rows_.row(0), members_ * stride_, c1, c0);
    }

    // to_i = sum_j w_ij target_j with w_ij = softmax_j(-half_precision |x_i - centre_j|^2 + l_j)
    // for `count` points; rows of x and `to` are stride() apart, and padded to tiled(count).
    void mix(const T* x, index_t count, double half_precision, T* to) const {
        const T scale = static_cast<T>(-half_precision);
        team_.for_each(tiled(count) / rows, [&](int thread, index_t tile) {
            const index_t i = tile * rows;
            T* weight = scratch_.of(thread);
            T sum[rows];
            weigh(x + i * stride_, scale, weight, sum);
            mix_tile(weight, sum, to + i * stride_);
        });
    }

  private:
    // The first n of `all` from the n behind them, those of x1, and the next n, those of x0.
    void blend(T* all, index_t n, double c1, double c0) const {
        const T one = static_cast<T>(c1), zero = static_cast<T>(c0);
        const T *x1 = all + n, *x0 = x1 + n;
        for (index_t k = 0; k < n; k += lanes) {
            const vec_t<T> scaled = one * load(x1 + k);
            store(all + k, paired_ ? zero * load(x0 + k) + scaled : scaled);
        }
    }

    // exp of the logits less their maximum, row by row, and the sums of these
    void weigh(const T* x, T scale, T* weight, T* sum) const {
        vec_t<T> largest[rows];
        for (index_t r = 0; r < rows; ++r)
            largest[r] = broadcast(-std::numeric_limits<T>::infinity());
        for (index_t j = 0; j < columns_; j += lanes) {
            vec_t<T> distance[rows] = {};
            for (index_t d = 0; d < dim_; ++d) {
                const vec_t<T> centre = load(turned_.row(d) + j);
                for (index_t r = 0; r < rows; ++r)
                    distance[r] =
                        SquaredDifference::term(centre, broadcast(x[r * stride_ + d]), distance[r]);
            }
            const vec_t<T> l = load(log_weight_.get() + j);
            for (index_t r = 0; r < rows; ++r) {
                const vec_t<T> logit = scale * distance[r] + l;
                largest[r] = logit > largest[r] ? logit : largest[r];
                store(weight + r * columns_ + j, logit);
            }
        }
        for (index_t r = 0; r < rows; ++r) {
            T* row = weight + r * columns_;
            T high = largest[r][0];
            for (index_t l = 1; l < lanes; ++l) high = largest[r][l] > high ? largest[r][l] : high;
            vec_t<T> total = {};
            for (index_t j = 0; j < columns_; j += lanes) {
                const vec_t<T> w = exp<T>(load(row + j) - high);
                total += w;
                store(row + j, w);
            }
            sum[r] = static_cast<T>(add_lanes(total));
        }
    }

    void mix_tile(const T* weight, const T* sum, T* to) const {
        for (index_t d = 0; d < stride_; d += lanes) {
            vec_t<T> mixed[rows] = {};
            for (index_t j = 0; j < members_; ++j) {
                const vec_t<T> target = load(rows_.row(j) + d);
                for (index_t r = 0; r < rows; ++r)
                    mixed[r] = weight[r * columns_ + j] * target + mixed[r];
            }
            for (index_t r = 0; r < rows; ++r) store(to + r * stride_ + d, mixed[r] / sum[r]);
        }
    }

    index_t members_, dim_, columns_, stride_;
    bool paired_;           // whether there is an x0
    ZeroedRows<T> turned_;  // (D, N) each: centres, x1, x0
    ZeroedRows<T> rows_;    // (N, D) each: targets, x1, x0
    Buffer<T> log_weight_;
    Team team_;           // that tiles of points are shared out to
    Scratch<T> scratch_;  // a tile's weights
};

// Whether these kernels take a state of `dim` components; not one that processes share.
template <class T>
bool takes_all(index_t dim) {
    return dim <= LowDimMixture<T>::most && !current_share();
}

ENFILT_CLOSE
