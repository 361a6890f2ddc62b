# ncnn, cut down to what an artifact's .param holds and what those layers create inside.

# Layer types of our .param files (tests/native/test_library.py compares), then those that ncnn creates by itself: conversions
# between layers, and what Convolution, Deconvolution and InnerProduct use (Deconvolution a Gemm: without it load_model
# crashes).
set(IFRNET_PARAM_LAYERS BinaryOp Clip Concat Convolution Crop Deconvolution Eltwise GridSample Input Interp MemoryData
    PReLU Padding PixelShuffle Pooling Power Reshape Sigmoid Slice Split Tile)
set(IFRNET_INNER_LAYERS Cast Dequantize Flatten Gemm InnerProduct Noop Packing Permute Quantize Requantize)

file(STRINGS ${IFRNET_NCNN_SOURCE}/src/CMakeLists.txt lines REGEX "^ncnn_add_layer\\(")
foreach(line IN LISTS lines)
  string(REGEX REPLACE "ncnn_add_layer\\(([A-Za-z0-9_]+).*" "\\1" layer "${line}")
  string(TOLOWER ${layer} lower)
  if(layer IN_LIST IFRNET_PARAM_LAYERS OR layer IN_LIST IFRNET_INNER_LAYERS)
    set(WITH_LAYER_${lower} ON CACHE BOOL "" FORCE)
  else()
    set(WITH_LAYER_${lower} OFF CACHE BOOL "" FORCE)
  endif()
endforeach()

set(unused NCNN_BUILD_TOOLS NCNN_BUILD_EXAMPLES NCNN_BUILD_BENCHMARK NCNN_BUILD_TESTS NCNN_PYTHON NCNN_SHARED_LIB
    NCNN_C_API NCNN_PIXEL NCNN_PIXEL_ROTATE NCNN_PIXEL_AFFINE NCNN_PIXEL_DRAWING NCNN_WEIGHT_QUANT NCNN_INSTALL_SDK
    NCNN_DISABLE_RTTI NCNN_DISABLE_EXCEPTION
    # files (we give it memory) and messages on standard error
    NCNN_STDIO NCNN_PLATFORM_API
    # kernels for processors that few people have
    NCNN_FMA4 NCNN_XOP NCNN_AVXVNNIINT8 NCNN_AVXVNNIINT16 NCNN_AVXNECONVERT NCNN_AVX512FP16 NCNN_ARM86SVE)
# pnnx states a batch axis on Reshape; ncnn without this refuses it.
set(NCNN_BATCH ON CACHE BOOL "" FORCE)
foreach(option IN LISTS unused)
  set(${option} OFF CACHE BOOL "" FORCE)
endforeach()
if(IFRNET_STATIC AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU") # FindOpenMP takes the shared one, which no static program links
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libgomp.a OUTPUT_VARIABLE gomp
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(OpenMP_gomp_LIBRARY ${gomp} CACHE FILEPATH "" FORCE)
endif()
set(NCNN_VULKAN ${IFRNET_VULKAN} CACHE BOOL "" FORCE)
set(NCNN_VERSION ${IFRNET_NCNN_VERSION})
add_subdirectory(${IFRNET_NCNN_SOURCE} ncnn EXCLUDE_FROM_ALL)
