// Inflation, and the innovations that an adaptive one is estimated from.
#include <enfilt/inflation.hpp>
#include <enfilt/innovations.hpp>

ENFILT_OPEN

template void inflate(const InflationProblem<float>&);
template void inflate(const InflationProblem<double>&);
template void innovations(const InnovationProblem<float>&);
template void innovations(const InnovationProblem<double>&);

ENFILT_CLOSE
