// The operations of kernels.hpp in terms of passes; the launcher of the device or of the host has to
// be included before this file.
#pragma once

#include "operations/localized.hpp"
#include "operations/others.hpp"
#include "operations/pairwise.hpp"
#include "operations/reduced.hpp"
#include "operations/samplers.hpp"
