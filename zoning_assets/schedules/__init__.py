"""When a feed is asked: cron expressions and time windows."""
