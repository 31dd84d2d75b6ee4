// enfilt's kernels, all of them. Free of Python; needs C++17, OpenMP, and GCC or Clang.
#pragma once

#include "diffusion.hpp"
#include "field.hpp"
#include "finite.hpp"
#include "flow.hpp"
#include "inflation.hpp"
#include "innovations.hpp"
#include "lenff.hpp"
#include "lenff_lists.hpp"
#include "letkf.hpp"
#include "lorenz96.hpp"
#include "navier_stokes.hpp"
#include "neighbours.hpp"
#include "reduced.hpp"
#include "scores.hpp"
#include "triad.hpp"
