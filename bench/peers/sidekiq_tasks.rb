# Sidekiq: no-op tasks a second, as bench/cluster_bench.cpp. It has no results: each task adds its own to a sum in the engine.
# Its free edition takes a task out of the queue before it runs it: a process that is killed loses what it had.
require 'json'
require 'sidekiq'
require 'tmpdir'

address = "unix://#{ENV.fetch('BENCH_ENGINE', '')}"
Sidekiq.configure_server { |config| config.redis = { url: address } }
Sidekiq.configure_client { |config| config.redis = { url: address } }

class Square
  include Sidekiq::Worker
  def perform(x)
    Sidekiq.redis do |engine|
      engine.pipelined do |pipeline|
        pipeline.incrby('sum', x * x)
        pipeline.incr('done')
      end
    end
  end
end

def until_done(count)
  sleep 0.002 until Sidekiq.redis { |engine| engine.get('done') }.to_i >= count
end

def client(count)
  Sidekiq::Client.push_bulk('class' => Square, 'args' => Array.new(100) { [0] })
  until_done(100)
  start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  (0...count).each_slice(1000) { |some| Sidekiq::Client.push_bulk('class' => Square, 'args' => some.map { |x| [x] }) }
  until_done(count + 100)
  elapsed = Process.clock_gettime(Process::CLOCK_MONOTONIC) - start
  sum = Sidekiq.redis { |engine| engine.get('sum') }.to_i
  raise 'wrong result: the sum' unless sum == (0...count).sum { |x| x * x }

  puts JSON.generate(value: count / elapsed)
end

def run(count)
  Dir.mktmpdir('brood-bench-') do |folder|
    socket = "#{folder}/socket"
    started = [Process.spawn('redis-server', '--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '',
                             '--appendonly', 'yes', '--appendfsync', 'everysec', out: File::NULL)]
    sleep 0.01 until File.exist?(socket)
    ENV['BENCH_ENGINE'] = socket
    2.times do
      started << Process.spawn('sidekiq', '-r', File.expand_path(__FILE__), '-c', '5', out: File::NULL, err: File::NULL)
    end
    client = Process.spawn('ruby', __FILE__, 'client', count.to_s)
    Process.wait(client)
    raise 'the client failed' unless $?.success?
  ensure
    started.each { |pid| Process.kill(:KILL, pid) }
    started.each { |pid| Process.wait(pid) }
  end
end

if $PROGRAM_NAME == __FILE__
  ARGV[0] == 'client' ? client(ARGV[1].to_i) : run(ARGV[0].to_i)
end
