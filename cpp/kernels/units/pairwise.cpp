// The pairwise estimator by itself.
#include <enfilt/field.hpp>

ENFILT_OPEN

template void squared_distances(const PairwiseProblem<float>&);
template void squared_distances(const PairwiseProblem<double>&);
template void pairwise_field(const PairwiseProblem<float>&);
template void pairwise_field(const PairwiseProblem<double>&);

ENFILT_CLOSE
