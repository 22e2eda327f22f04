module walden-bench/go-peer

go 1.19
