// The localized ensemble flow filter in float64.
#include <enfilt/lenff.hpp>
#include <enfilt/lenff_lists.hpp>

ENFILT_OPEN

template void lenff_window(const LenffWindow<double>&);
template void lenff_lists(const LenffLists<double>&);

ENFILT_CLOSE
