// The samplers that run on coefficients.
#include <enfilt/reduced.hpp>

ENFILT_OPEN

template void reduced_analysis(const ReducedProblem<float>&);
template void reduced_analysis(const ReducedProblem<double>&);

ENFILT_CLOSE
