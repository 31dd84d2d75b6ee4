// The local ensemble transform Kalman filter.
#include <enfilt/letkf.hpp>

ENFILT_OPEN

template void letkf_window(const LetkfWindow<float>&);
template void letkf_window(const LetkfWindow<double>&);
template void letkf_lists(const LetkfLists<float>&);
template void letkf_lists(const LetkfLists<double>&);

ENFILT_CLOSE
