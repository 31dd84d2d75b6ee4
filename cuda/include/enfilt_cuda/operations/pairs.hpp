// Distances of points to members, weights, and what the weights mix: passes that several operations
// share.
#pragma once

#include "../distances.hpp"
#include "../kernels.hpp"
#include "../mix.hpp"
#include "../small_pass.hpp"
#include "../sums.hpp"

namespace enfilt::cuda {

template <class T>
bool is_small(index_t points, index_t members) {
    using Largest = SmallPass<T, SteppedPoints<T, FlowAdvance<T, Unguided>>>;
    return points <= small_members && members <= small_members &&
           Largest::shared_bytes(points, members) <= small_memory;
}

// The pairwise sums of M points and N members, and the weights that follow from them, of each
// ensemble of a batch.
template <class T>
class Pairs {
  public:
    Pairs(index_t points, index_t members, index_t dim, index_t ensembles, Run run)
        : points_(points), members_(members), dim_(dim), ensembles_(ensembles),
          launch_(run.launch), distance(run.workspace.take<double>(sums())),
          partial_(run.workspace.take<double>(sums() * most_chunks())),
          w_(run.workspace.take<T>(sums())),
          single_(run.workspace.take<int>(ensembles * points)) {}

    // Distances of points as they stand to the centres of a stage.
    void measure(const T* x, const Members<T>& members, const Blend<T>& centre) const {
        if (small()) {
            measure_while_making(GivenPoints<T>{x, points_, dim_}, members, centre);
        } else {
            const DistancePass<T> pass{x, points_, members, centre, partial_};
            const Grid grid = pass.grid(ensembles_);
            launch_(grid, pass.shared_bytes, pass);
            add(grid.rows);
        }
    }

    // Makes points; where `measured`, also their distances to these centres.
    template <class Points>
    void measure_while_making(const Points& points, const Members<T>& members,
                              const Blend<T>& centre, bool measured = true) const {
        const SmallPass<T, Points> pass{points, members, centre, measured ? partial_ : nullptr};
        const Grid grid = pass.grid(ensembles_);
        launch_(grid, pass.shared_bytes(), pass);
        if (measured) add(grid.blocks);
    }

    WeightRows<T> weigh(double half_precision, const double* log_weights) const {
        const SoftmaxPass<T> pass{distance, log_weights, half_precision, points_,
                                  members_, w_,          single_};
        launch_(pass.grid(ensembles_), pass.shared_bytes, pass);
        return {w_, single_};
    }

    bool small() const { return is_small<T>(points_, members_); }

  private:
    index_t sums() const { return ensembles_ * points_ * members_; }
    index_t most_chunks() const {
        return small() ? SmallPass<T, GivenPoints<T>>::most_blocks(dim_)
                       : DistancePass<T>::chunks(points_, members_, dim_);
    }

    void add(index_t chunks) const {
        const SumPass pass(partial_, sums(), chunks, distance);
        launch_(pass.grid(), pass.shared_bytes, pass);
    }

    index_t points_, members_, dim_, ensembles_;
    Launches& launch_;

  public:
    double* distance;  // (M, N)

  private:
    double* partial_;
    T* w_;
    int* single_;
};

template <class T, class Advance>
void mix(Launches& launch, index_t ensembles, const T* from, T* to, index_t points,
         const Members<T>& members, const Blend<T>& target, const WeightRows<T>& weights,
         const Advance& advance) {
    const MixPass<T, Advance> pass{from, to, points, members, target, weights, advance};
    launch(pass.grid(ensembles), pass.shared_bytes, pass);
}

}  // namespace enfilt::cuda
