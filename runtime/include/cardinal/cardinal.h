// The C++ API for running networks that Cardinal compiled.
//
//   auto model = cardinal::Model::load("resnet18.so");
//   if (!model) die(model.error().message());
//   auto session = cardinal::Session::create(*model);
//   std::vector<float> image(model->inputs()[0].elements), logits(model->outputs()[0].elements);
//   auto done = session->run(image, logits);
//
// Networks for an NVIDIA GPU run in the same way; <cardinal/cuda.h> has more for them.
//
// A Model may be shared by all threads; each thread has its own Session. Errors are returned, never thrown.
// To link a network into the program instead, use its generated header, alone or with Model::from.
#pragma once

#include <cardinal/abi.h>          // IWYU pragma: export
#include <cardinal/expected.h>     // IWYU pragma: export
#include <cardinal/model.h>        // IWYU pragma: export
#include <cardinal/session.h>      // IWYU pragma: export
#include <cardinal/thread_pool.h>  // IWYU pragma: export
