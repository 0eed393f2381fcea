# What a program of ruby is told of the site, as settings of Sidekiq.
require 'sidekiq'

SITE = {
  url: "redis://#{ENV['SITE_NAME']}",
  sentinels: ENV['SITE_SENTINELS'].split(',').map do |address|
    host, port = address.split(':')
    { host: host, port: port.to_i }
  end,
  role: :master
}.freeze

def leave(name, line)
  File.open(File.join(ENV['SITE_FOLDER'], name), 'a') { |file| file.write("#{line}\n") }
end

Sidekiq.configure_server { |config| config.redis = SITE }
Sidekiq.configure_client { |config| config.redis = SITE }
