// The ensemble transform Kalman filter.
#include <enfilt/etkf.hpp>

ENFILT_OPEN

template void etkf(const EtkfProblem<float>&);
template void etkf(const EtkfProblem<double>&);

ENFILT_CLOSE
