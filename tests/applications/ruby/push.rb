# Pushes a thousand jobs, and pushes a job again when it was not told that it is in the queue.
require_relative 'jobs'

deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 40
1000.times do |number|
  sleep 0.01 while number == 900 && !File.exist?(File.join(ENV['SITE_FOLDER'], 'killed'))
  begin
    Job.perform_async(number)
    leave('pushed', number)
  rescue Redis::BaseError
    raise if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

    leave('repeated', number)
    sleep 0.05
    retry
  end
end
