"""What a datum is: trades, quotes, bars, order-book updates; symbols, venues, timeframes. Pure."""
