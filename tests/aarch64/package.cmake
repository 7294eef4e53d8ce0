# A project for another machine, as docs/embedding.md tells: the runtime is cross-compiled from ROOT and installed, the
# project in SOURCE is built against it with this machine's COMPILER of networks, and EMULATOR runs the result.
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE output ERROR_VARIABLE output)
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
set(configure ${CMAKE_COMMAND} -G ${GENERATOR} -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=${C_COMPILER} -DCMAKE_CXX_COMPILER=${CXX_COMPILER})
run(${configure} -S ${ROOT} -B ${SCRATCH}/runtime -DCARDINAL_COMPILER=OFF)
run(${CMAKE_COMMAND} --build ${SCRATCH}/runtime)
run(${CMAKE_COMMAND} --install ${SCRATCH}/runtime --prefix ${SCRATCH}/prefix)
run(${configure} -S ${SOURCE} -B ${SCRATCH}/consumer -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix
  -DCARDINAL_EXECUTABLE=${COMPILER})
run(${CMAKE_COMMAND} --build ${SCRATCH}/consumer)
file(READ ${SCRATCH}/consumer/cardinal/consumer/tiny.h header)
if(NOT header MATCHES "target = \"aarch64\"")
  message(FATAL_ERROR "the network was not compiled for the machine that the project is built for")
endif()
run(${EMULATOR} -L ${SYSROOT} ${SCRATCH}/consumer/consumer)
if(NOT output STREQUAL "same\n")
  message(FATAL_ERROR "the linked and the loaded network differ: ${output}")
endif()
