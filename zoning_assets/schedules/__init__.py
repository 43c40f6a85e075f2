"""When the feeds are requested: cron expressions and time windows."""
