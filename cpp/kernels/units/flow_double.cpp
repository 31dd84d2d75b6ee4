// The ensemble flow filter in float64.
#include <enfilt/flow.hpp>

ENFILT_OPEN

template void flow_analysis(const FlowProblem<double>&);

ENFILT_CLOSE
