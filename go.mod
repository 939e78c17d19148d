module github.com/microsim-dev/kubectl-microsim

go 1.26.0

require github.com/Shopify/toxiproxy/v2 v2.5.0
