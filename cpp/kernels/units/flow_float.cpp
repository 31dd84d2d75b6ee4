// The ensemble flow filter in float32: with flow_double.cpp the dearest to compile, hence two units.
#include <enfilt/flow.hpp>

ENFILT_OPEN

template void flow_analysis(const FlowProblem<float>&);

ENFILT_CLOSE
