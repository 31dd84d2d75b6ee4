// The local ensemble transform Kalman filter.
#include <enfilt/letkf.hpp>
#include <enfilt/letkf_rows.hpp>

ENFILT_OPEN

template void letkf_window(const LetkfWindow<float>&);
template void letkf_window(const LetkfWindow<double>&);
template void letkf_lists(const LetkfLists<float>&);
template void letkf_lists(const LetkfLists<double>&);
template void letkf_rows(const LetkfRows<float>&);
template void letkf_rows(const LetkfRows<double>&);

ENFILT_CLOSE
