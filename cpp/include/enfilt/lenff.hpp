// The localized ensemble flow filter on regular grids.
#pragma once

#include "lenff_grid.hpp"
#include "lenff_line.hpp"

ENFILT_OPEN

// The LEnFF on a regular grid with pointwise observations.
template <class T>
void lenff_window(const LenffWindow<T>& p) {
    if (p.rows == 1 || p.columns == 1)
        lenff_detail::lenff_line(p);
    else
        lenff_detail::lenff_grid(p);
}

ENFILT_CLOSE
