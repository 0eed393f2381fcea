# The jobs that Sidekiq works off: each leaves a line in a file, outside of Redis, and one of them kills the primary.
require_relative 'site'

class Job
  include Sidekiq::Job

  def perform(number)
    leave('done', number)
    return unless number == 300 && !File.exist?(File.join(ENV['SITE_FOLDER'], 'killed'))

    Process.kill(:KILL, ENV['SITE_PRIMARY_PID'].to_i)
    leave('killed', number)
  end
end
