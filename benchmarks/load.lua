-- For wrk: sends the bodies of a file in turn, and says at the end what came back.
-- Arguments: the file, with a NUL between two bodies, and their content type.

local threads = 0
function setup(thread)
  thread:set("skip", threads * 37)
  threads = threads + 1
end

local requests, next_one = {}, 0
function init(args)
  local file = assert(io.open(args[1], "rb"))
  for body in file:read("*a"):gmatch("[^%z]+") do
    requests[#requests + 1] =
      wrk.format("POST", "/invocations", { ["Content-Type"] = args[2] }, body)
  end
  file:close()
  next_one = skip
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '[result]{"requests": %d, "seconds": %f, "refused": %d, "broken": %d, "p50": %f, "p99": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
