module github.com/microsim-dev/kubectl-microsim

go 1.26.0
