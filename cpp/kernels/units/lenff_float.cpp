// The localized ensemble flow filter in float32.
#include <enfilt/lenff.hpp>
#include <enfilt/lenff_lists.hpp>

ENFILT_OPEN

template void lenff_window(const LenffWindow<float>&);
template void lenff_lists(const LenffLists<float>&);

ENFILT_CLOSE
